"""What a reader must know before trusting a number of a report, by rule, in sentences."""

from collections.abc import Iterable, Sequence

from lesion_core.dataset.proof.certificate import Shortcut
from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.analysis.decisions import ReachedPoint
from lesion_core.evaluation.analysis.prediction_sets import SetCoverage
from lesion_core.evaluation.analysis.results import Stress, Subgroups
from lesion_core.evaluation.report import Metrics
from lesion_core.statistics.guarantees.conformal import SHOWN_COVERAGE

_FLIPS = 0.20  # of the malignant decision, from which a change is named


def remarks_on(metrics: Metrics, found: Analyses | None, shortcuts: Sequence[Shortcut] = ()) -> tuple[str, ...]:
    """Return the remarks; those that cast doubt on everything come first.

    Args:
        metrics: The scores.
        found: All else that was measured; ``None``: scores alone were.
        shortcuts: What predicts the class in this dataset and is no skin, as its certificate says.
    """
    remarks = [*(_mistakes(found) if found else ()), *_shortcuts(metrics, shortcuts), *_of_metrics(metrics)]
    if found is None:
        return (*remarks, "Scores alone were measured: no operating points, sets, subgroups or stress tests.")
    remarks += [*_decisions(found.decisions), *_sets(found.sets), *_gaps(found.subgroups)]
    if found.missing_metadata is not None:
        remarks.append(found.missing_metadata.image_only.verdict)
    remarks += [*_interval(found), *_stress(found.stress)]
    return tuple(remarks)


def _mistakes(found: Analyses) -> Iterable[str]:
    yield from (one.text for one in found.findings)
    image_only = found.missing_metadata.image_only.balanced_accuracy if found.missing_metadata else None
    if image_only and image_only.candidate is not None and image_only.reference is not None:
        low, gain = image_only.reference, image_only.difference
        if gain.low is not None and gain.low > 0 and low < 0.5 * image_only.candidate:
            yield (
                f"Most of what it knows is in the metadata: with all of it unknown, balanced accuracy falls from "
                f"{image_only.candidate:.3f} to {low:.3f}. It hardly looks at the image."
            )


def _shortcuts(metrics: Metrics, shortcuts: Sequence[Shortcut]) -> Iterable[str]:
    """Hold the model against what a table without any image reaches: no better, and it may read nothing else."""
    telling = [one for one in shortcuts if one.is_telling]
    if not telling:
        return
    best, score = max(telling, key=lambda one: one.balanced_accuracy), metrics.balanced_accuracy
    of_table = (
        f"{best.features} alone, without any image, reaches a balanced accuracy of {best.balanced_accuracy:.3f}"
    )
    if score.value is not None and (score.low is None or score.low <= best.balanced_accuracy):
        yield (
            f"It is not surely better than a shortcut: {of_table} on this dataset's other images, the model "
            f"{score.in_words()}. It may have learnt nothing else."
        )
    else:
        yield f"A shortcut in the dataset: {of_table} (chance {best.chance:.3f}); the model is better than that."


def _of_metrics(metrics: Metrics) -> Iterable[str]:
    subject = metrics.subject
    if subject.n_seen_in_training:
        yield (
            f"{subject.n_seen_in_training:,} of these {subject.n_images:,} images were used in the model's making: "
            "the numbers are too good."
        )
    if subject.looks is not None and subject.looks.any_recipe:
        yield (
            f"{subject.looks.any_recipe:,} other models had been measured on these test images before; the more are, "
            "the less a good number says."
        )
    if subject.absent_classes:
        yield f"No image of {', '.join(subject.absent_classes)} is among these: nothing is known about these classes."
    few = [str(one.diagnosis) for one in metrics.classes if one.sensitivity.method == "Wilson"]
    if few:
        yield f"Few groups of {', '.join(few)}: their intervals are wide, and by formula."


def _decisions(points: Sequence[ReachedPoint] | None) -> Iterable[str]:
    if points is None:
        yield (
            "Operating points and conformal sets were not measured: the model is of an older version and has none, "
            "or a label of this test stands for several classes."
        )
        return
    missing = [f"{one.point.decision} at {one.point.wanted:.0%}" for one in points if one.point.threshold is None]
    if missing:
        yield f"Too few calibration groups for a promise: {'; '.join(missing)}."
    for one in points:
        if one.sensitivity.high is not None and one.sensitivity.high < one.point.wanted:
            yield (
                f"The promise of “{one.point.decision}” is not kept: {one.point.wanted:.2f} was promised, the "
                f"sensitivity reached is {one.sensitivity.in_words()}. Are these images like those of calibration?"
            )


def _sets(sets: Sequence[SetCoverage] | None) -> Iterable[str]:
    for one in sets or ():
        if one.wanted != SHOWN_COVERAGE:
            continue
        pooled = [str(each.diagnosis) for each in one.classes if each.is_pooled]
        if pooled:
            yield f"Too few calibration groups for a coverage by class: {', '.join(pooled)} share a threshold."
        for each in one.classes:
            if each.coverage.high is not None and each.coverage.high < one.wanted and not each.is_pooled:
                yield (
                    f"Conformal sets hold {each.diagnosis} less often than the stated {one.wanted:.2f}: "
                    f"{each.coverage.in_words()}."
                )


def _gaps(found: Subgroups) -> Iterable[str]:
    for gap in sorted(found.gaps, key=lambda one: one.p_corrected):
        if gap.is_found:
            yield (
                f"{gap.measure[0].upper()}{gap.measure[1:]} for {gap.field} “{gap.value}” is {gap.inside:.3f}, for "
                f"the rest {gap.outside:.3f} (p {gap.p_corrected:.3f}, corrected for the number of gaps looked at)."
            )
    if not found.gaps:
        yield f"No gap between subgroups could be tested: none has {found.min_groups} groups on both sides."
    if found.not_recorded:
        yield f"Not recorded, so performance by it is not known: {', '.join(found.not_recorded)}."


def _interval(found: Analyses) -> Iterable[str]:
    ratio = found.intervals.width_ratio
    if ratio is not None:
        yield (
            "Counted by image, the interval of balanced accuracy would be "
            f"{found.intervals.by_image.interval_in_words()}, {ratio:.2f} times as wide as the one by group that is "
            "printed."
        )


def _stress(found: Stress) -> Iterable[str]:
    worst = [
        f"{one.perturbation} ({one.amount}) {one.malignant_flips.value:.2f}"
        for one in found.rows_by_change
        if one.malignant_flips.value is not None and one.malignant_flips.value >= _FLIPS
    ]
    if worst:
        yield (
            f"Whether the leading class is malignant changes in {_FLIPS:g} of the images or more under: "
            f"{'; '.join(worst)}."
        )
