"""What a model card says against its own numbers."""

from collections.abc import Iterable, Sequence

from lesion_core.evaluation.card.statements import NO_SKIN_TONE, SAME_SOURCES
from lesion_core.evaluation.report import Metrics
from lesion_core.labels import CLASS_NAMES, N_CLASSES_IN_WORDS, Diagnosis
from lesion_core.serving.model_folder import ModelFolder
from lesion_core.serving.wording import MAP_CAVEAT, percent


def limits_of(metrics: Metrics, folder: ModelFolder) -> Iterable[str]:
    """Yield the limits of a model, one sentence or two each."""
    malignancy = metrics.malignancy
    if malignancy.ppv_at_1_percent is not None and malignancy.ppv_at_5_percent is not None:
        yield (
            f"Where 1 of 100 lesions is malignant, {percent(malignancy.ppv_at_1_percent)} of its malignant answers "
            f"would be right; where 5 of 100 are, {percent(malignancy.ppv_at_5_percent)}."
        )
    yield from _absences("trained on", folder.provenance.absent_classes)
    yield from _absences("tested on", metrics.subject.absent_classes)
    few = [str(one.diagnosis) for one in metrics.classes if one.sensitivity.method == "Wilson"]
    if few:
        yield (
            f"Few groups, or all alike, in the test split for {', '.join(few)}: those sensitivity intervals are "
            "Wilson's, counting groups as trials."
        )
    yield f"A lesion of any other diagnosis is answered with one of the {N_CLASSES_IN_WORDS} classes all the same."
    yield SAME_SOURCES
    yield NO_SKIN_TONE
    yield MAP_CAVEAT


def _absences(what: str, classes: Sequence[str]) -> Iterable[str]:
    if classes:
        names = ", ".join(f"{CLASS_NAMES[Diagnosis(name)]} ({name})" for name in classes)
        yield f"Not {what} a single image of: {names}. Nothing is known about these classes."
