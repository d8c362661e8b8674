"""The three groups of results that CHAI's card has: usefulness, fairness, safety."""

import json
from collections.abc import Iterable, Mapping

from lesion_core.evaluation.card import words
from lesion_core.evaluation.card.content import CardTable, ModelCard, Topic
from lesion_core.evaluation.card.statements import TITLES

_USEFUL: tuple[Topic, ...] = ("operating points", "answers with several classes")
_FAIR: tuple[Topic, ...] = ("subgroups", "missing metadata")
_SAFE: tuple[Topic, ...] = ("calibration", "out of distribution", "stress", "external tests")
_TEST_TYPE = "Retrospective, on images held out from training"
_PROCESS = (
    "Lesions, patients, identical files and near-duplicates stay in one split. Intervals are over groups of them. "
    "What is measured is the file that is served."
)
Result = Mapping[str, str]


def key_metrics(card: ModelCard) -> Mapping[str, object]:
    """Return the content of ``KeyMetrics``; a topic that was not measured is a result without a value."""
    plain = [row for row in card.measured.rows if not row.is_of_probabilities]
    of_probabilities = [row for row in card.measured.rows if row.is_of_probabilities]
    further = [_result(table.title, row) for table in card.sections_on(None) for row in _rows(table)]
    useful = [_result(row.label, row.estimate.model_dump()) for row in plain]
    useful += [
        _result(
            f"{one.diagnosis}: {name}", {**estimate.model_dump(), "n_images": one.n_images, "n_groups": one.n_groups}
        )
        for one in card.measured.classes
        for name, estimate in one.estimates.items()
    ]
    safe = [_result(row.label, row.estimate.model_dump()) for row in of_probabilities]
    return {
        "UsefulnessUsabilityEfficacy": _metric(
            card,
            "To name the class of a lesion that a clinician has chosen.",
            (*useful, *_results(card, _USEFUL), *further),
            "A guess among the classes present has a balanced accuracy of "
            f"{card.measured.chance:.3f}. Read each number with its interval.",
        ),
        "FairnessEquity": _metric(
            card,
            "To be equally right for everybody.",
            tuple(_results(card, _FAIR)),
            " ".join(card.data.absences),
        ),
        "SafetyReliability": _metric(
            card,
            "To state probabilities that hold, and to be unsure where the image is unlike the training images.",
            (*safe, *_results(card, _SAFE)),
            " ".join(card.limits),
        ),
    }


def _metric(card: ModelCard, goal: str, results: tuple[Result, ...], interpretation: str) -> Mapping[str, object]:
    return {
        "MetricGoal": goal,
        "Results": {"MetricResult": results},
        "Interpretation": interpretation,
        "TestType": f"{_TEST_TYPE}; {card.measured.split}",
        "TestingDataDescription": words.measurement(card),
        "ValidationProcessAndJustification": _PROCESS,
    }


def _results(card: ModelCard, topics: Iterable[Topic]) -> Iterable[Result]:
    for topic in topics:
        for table in card.sections_on(topic):
            yield from (_result(table.title, row) for row in _rows(table))
        if reason := card.not_measured.get(topic):
            yield _result(TITLES[topic], {"value": None, "not_measured": reason})


def _rows(table: CardTable) -> Iterable[Mapping[str, str]]:
    return (dict(zip(table.header, row, strict=True)) for row in table.rows)


def _result(label: str, value: Mapping[str, object]) -> Result:
    return {"Label": label, "ValueJson": json.dumps(value, ensure_ascii=False)}
