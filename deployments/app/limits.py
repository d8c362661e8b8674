"""From the report on a model to what the page says of its limits."""

from lesion_core.errors import ArtifactNotFound
from lesion_core.evaluation.report import Metrics, latest_report, read_metrics
from lesion_core.labels import Diagnosis, class_index
from lesion_core.refs import ModelRef
from lesion_core.serving.wording import Measured, MeasuredLimits
from lesion_core.statistics.estimates import Estimate
from lesion_core.stores.protocol import Store


def read_limits(store: Store, model: ModelRef) -> MeasuredLimits | None:
    """Return what the newest report on the test split measured, or ``None`` where there is no such report.

    Raises:
        StoreError: The report is there but cannot be read.
    """
    try:
        report = latest_report(store, model)
    except ArtifactNotFound:
        return None
    return limits_of(read_metrics(store, report))


def limits_of(metrics: Metrics) -> MeasuredLimits | None:
    """Return a report's numbers as the page tells them; ``None`` where not even balanced accuracy is known."""
    subject, malignancy = metrics.subject, metrics.malignancy
    balanced_accuracy = _measured(metrics.balanced_accuracy)
    if balanced_accuracy is None:
        return None
    return MeasuredLimits(
        test_set=subject.dataset_id,
        split=subject.split,
        n_images=subject.n_images,
        external=subject.dataset_id != subject.training_dataset_id,
        balanced_accuracy=balanced_accuracy,
        melanoma_sensitivity=_measured(metrics.classes[class_index(Diagnosis.MEL)].sensitivity),
        malignant_sensitivity=_measured(malignancy.sensitivity),
        malignant_specificity=_measured(malignancy.specificity),
        ppv_at_1_percent=malignancy.ppv_at_1_percent,
        ppv_at_5_percent=malignancy.ppv_at_5_percent,
        absent_classes=subject.absent_classes,
    )


def _measured(estimate: Estimate) -> Measured | None:
    if estimate.value is None:
        return None
    return Measured(value=estimate.value, low=estimate.low, high=estimate.high)
