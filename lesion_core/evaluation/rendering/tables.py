"""The analyses as tables, for the card and the report alike."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.analysis.decisions import ReachedPoint
from lesion_core.evaluation.analysis.out_of_distribution import FalseAlarms
from lesion_core.evaluation.analysis.prediction_sets import SetCoverage
from lesion_core.evaluation.analysis.results import LEVEL, MissingMetadata, Stress, Subgroups
from lesion_core.evaluation.card.content import CardTable, Topic
from lesion_core.evaluation.cases.label_noise import LabelNoise
from lesion_core.statistics.guarantees.conformal import MIN_GROUPS, SHOWN_COVERAGE

_MOST_SUSPECTS = 12


def tables_of(found: Analyses) -> tuple[CardTable, ...]:
    """Return every analysis as one table or more, each with how it was measured."""
    return tuple(_tables(found))


def _tables(found: Analyses) -> Iterable[CardTable]:
    if found.decisions is not None:
        yield _decisions(found.decisions)
    if found.sets is not None:
        yield from _sets(found.sets)
    yield _out_of_distribution(found.out_of_distribution)
    yield from _subgroups(found.subgroups)
    if found.missing_metadata is not None:
        yield _missing_metadata(found.missing_metadata)
    yield _stress(found.stress)
    yield _table(
        "Turned and mirrored views",
        f"{found.instability.n_images:,} of {found.instability.n_of:,} images, each in eight views that mean the "
        "same.",
        found.instability.rows(),
        "stress",
    )
    yield _confidence(found)
    yield _sentences("Explanations", _EXPLANATIONS, found.explanations.in_words())
    yield _sentences("Clusters of errors", _CLUSTERS, [found.clusters.in_words()])
    yield _label_noise(found.label_noise)


def _out_of_distribution(found: FalseAlarms | None) -> CardTable:
    note = (
        "How unlike the training images an image is: the Mahalanobis distance of features of a network that was "
        "never trained on lesions (docs/out-of-distribution.md). All images here are dermoscopic images of lesions, "
        "so each flag is a false alarm."
    )
    if found is None:
        note = "The model is of an older version and has no score that tells images of another kind."
        return CardTable(
            title="Out of distribution", note=note, header=("nothing",), rows=(), topic="out of distribution"
        )
    rows = {
        "limit of the score": "none: too few calibration images"
        if found.threshold is None
        else _number(found.threshold),
        "images flagged": "not known" if found.n_flagged is None else f"{found.n_flagged:,} of {found.n_images:,}",
        "share flagged": found.share.in_words(),
        "median score": _number(found.median_score),
        "highest score": _number(found.highest_score),
    }
    cells = [{"measure": name, "value": value} for name, value in rows.items()]
    return _table("Out of distribution", note, cells, "out of distribution")


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.1f}"


_EXPLANATIONS = (
    "Whether the map shown beside an answer depends on what it should: hiding the cells that it names first "
    "(deletion and insertion, arXiv:1806.07421), evidence inside the lesion, and shuffled weights (arXiv:1810.03292)."
)
_CLUSTERS = (
    "What errors of the malignant decision have in common, against right answers of the same class (Fisher's test)."
)


def _sentences(title: str, note: str, sentences: Sequence[str]) -> CardTable:
    return CardTable(title=title, note=note, header=("found",), rows=tuple((text,) for text in sentences))


def _label_noise(found: LabelNoise) -> CardTable:
    note = (
        f"{found.in_words()} Confident learning (doi:10.1613/jair.1.12125) on these held-out answers; "
        "reannotation.csv lists them. A doubtful label is not a wrong one."
    )
    rows = [(one.isic_id, one.in_words()) for one in found.suspects[:_MOST_SUSPECTS]]
    return CardTable(title="Doubtful labels", note=note, header=("image", "why"), rows=tuple(rows))


def _decisions(points: Sequence[ReachedPoint]) -> CardTable:
    note = (
        "A decision is taken where the summed probability of its classes reaches the threshold. Thresholds were "
        "chosen on the calibration split so that the promised sensitivity is reached with "
        f"{points[0].point.confidence:.0%} confidence on images like those (learn then test, arXiv:2110.01052). "
        "What was reached is measured here; specificity is what it costs."
    )
    return _table("Operating points", note, [one.row() for one in points], "operating points")


def _sets(sets: Sequence[SetCoverage]) -> Iterable[CardTable]:
    overall = [
        {
            "stated coverage": f"{one.wanted:.2f}",
            "coverage reached": one.coverage.in_words(),
            "classes in the set": one.mean_size.in_words(2),
            "sets of one class": one.single.in_words(2),
            "empty sets": one.empty.in_words(2),
            "malignant images whose set holds no malignant class": one.missed_malignant.in_words(),
        }
        for one in sets
    ]
    note = (
        "The set of an image holds the classes that cannot be excluded (class-conditional conformal prediction, "
        "doi:10.1080/01621459.2017.1395341)."
    )
    yield _table("Conformal sets", note, overall, "answers with several classes")
    shown = [one for one in sets if one.wanted == SHOWN_COVERAGE]
    for one in shown:
        note = (
            "Each class has the stated coverage by itself, but where it is pooled: classes with fewer than "
            f"{MIN_GROUPS} calibration groups share a threshold and have it on average over them only."
        )
        yield _table(
            f"Conformal sets of {one.wanted:.0%}, by class", note, one.rows(), "answers with several classes"
        )


def _subgroups(found: Subgroups) -> Iterable[CardTable]:
    absent = f" Not recorded: {', '.join(found.not_recorded)}." if found.not_recorded else ""
    note = f"Nothing is printed of fewer than {found.min_groups} groups.{absent}"
    yield _table("Subgroups", note, found.rows(), "subgroups")
    if found.gaps:
        note = (
            "A subgroup against the rest. p is of a permutation of the groups' labels within classes "
            f"({found.n_permutations:,} permutations), corrected for the number of gaps looked at (false discovery "
            f"rate, Benjamini and Hochberg 1995); a corrected p of at most {LEVEL:g} is called a gap."
        )
        yield _table("Gaps between subgroups", note, found.gap_rows(), "subgroups")


def _missing_metadata(found: MissingMetadata) -> CardTable:
    note = (
        f"The same {found.n_images:,} images with metadata made unknown; differences are paired, known minus "
        "unknown. All unknown is the answer to the image alone."
    )
    return _table("Missing metadata", note, found.rows(), "missing metadata")


def _stress(found: Stress) -> CardTable:
    note = (
        f"{found.n_images:,} of {found.n_images_of:,} images ({found.n_groups:,} groups, the classes in turn), "
        "changed in ways that say nothing of the diagnosis. Differences are changed minus unchanged."
    )
    return _table("Stress tests", note, found.rows(), "stress")


def _confidence(found: Analyses) -> CardTable:
    curve = found.selective
    steps = [place for place, share in enumerate(curve.coverage) if round(share * 100) % 20 == 0]
    rows = [
        {
            "share of images answered, the surest first": f"{curve.coverage[place]:.2f}",
            "wrong answers among them": f"{curve.risk[place]:.3f}",
            "malignant images called benign among them": _share(curve.missed_malignant[place]),
        }
        for place in steps
    ]
    note = f"Mean risk over all coverages (AURC) {curve.area:.3f}; at best {curve.area_of_best:.3f}."
    return _table("Risk and coverage", note, rows, "calibration")


def _share(value: float | None) -> str:
    return "no malignant image" if value is None else f"{value:.3f}"


def _table(title: str, note: str, rows: Sequence[Mapping[str, Any]], topic: Topic) -> CardTable:
    header = tuple(rows[0]) if rows else ("nothing",)
    cells = tuple(tuple(_cell(row[name]) for name in header) for row in rows)
    return CardTable(title=title, note=note, header=header, rows=cells, topic=topic)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value) or "–"
