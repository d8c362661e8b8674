"""A report's numbers as they are stored, and how they are read back.

``reports/<recipe>-<model12>/<digest12>/``: metrics.json (``Metrics``) · predictions.parquet · misclassified.csv ·
figures/*.png · card.md · card.html · card.json · card.xml · index.json; of an external test set also left_out.csv.
"""

import csv
import io
import json
import operator
from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationError

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.evaluation.test_access import AccessCounts
from lesion_core.isic.external.labels import LEFT_OUT_NAME, Classes, MappedLabel, pools_of
from lesion_core.keys import report_key
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, Diagnosis
from lesion_core.parquet import read_frame
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.statistics.decision_curve import DecisionCurve
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.measures import CLASS_MEASURES, MEASURES, Measure
from lesion_core.statistics.predictive_values import PredictiveValues
from lesion_core.stores.folders import files_folder, get_index, list_folders, read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import Licence, Sha256, Value

METRICS_NAME = "metrics.json"
REMARKS_NAME = "remarks.json"  # what to know first, sentences
REPORT_PAGE_NAME = "report.html"
ANALYSES_NAME = "analyses.json"  # analysis.content.Analyses; not there where scores alone were measured
PREDICTIONS_NAME = "predictions.parquet"
MISCLASSIFIED_NAME = "misclassified.csv"
CARD_NAME = "card.md"
PROBABILITY_COLUMNS = tuple(f"p_{name}" for name in CLASS_ORDER)

Row = dict[str, Any]


def _is_none(found: object) -> bool:
    return found is None


class ExternalSubject(Value):
    """The external test set that a model was measured on, and what of it was left out."""

    name: str
    labels: tuple[MappedLabel, ...] = Field(description="What every label of its table stands for")
    n_listed: int = Field(ge=0, description="Rows of its table")
    left_out: dict[str, int] = Field(description="Images left out, by reason; left_out.csv names them")
    not_compared: tuple[str, ...] = Field(
        default=(),
        description="Datasets that the model was made from whose pixels were removed: near-duplicates of their "
        "images could not be looked for",
    )

    @property
    def pools(self) -> tuple[Classes, ...]:
        """Classes that count as one."""
        return pools_of(one.classes for one in self.labels)


class Subject(Value):
    """What was evaluated, on what, and how; enough to do it again."""

    model_id: str
    model_sha256: Sha256
    recipe: str
    dataset_id: str
    dataset_sha256: Sha256
    training_dataset_id: str
    split: Literal["validation", "calibration", "test"]
    fold: int | None = Field(default=None, ge=0, description="Fold whose splits these are; none: the dataset's own")
    n_images: int = Field(ge=1)
    looks: AccessCounts | None = Field(
        default=None, description="Who had been measured on this test split before; none: it is no test split"
    )
    n_seen_in_training: int = Field(
        default=0, ge=0, description="Images of the split that went into the model: trained, chosen or calibrated on"
    )
    n_groups: int = Field(ge=1, description="Patients, lesions and near-duplicates joined; what is resampled")
    classes_present: tuple[Diagnosis, ...]
    absent_classes: tuple[Diagnosis, ...] = Field(description="Classes without an image in the split")
    synthetic: bool = Field(description="Whether the model or the images are generated: no clinical meaning")
    licence: Licence
    n_bootstrap: int
    seed: int
    step_version: int
    external: ExternalSubject | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="The external test set that these images are; none: the dataset's own split",
    )

    @property
    def split_in_words(self) -> str:
        """Return 'test split', 'test split of fold 2', or 'external test set ham10000'."""
        if self.external is not None:
            return f"external test set {self.external.name}"
        return f"{self.split} split" + ("" if self.fold is None else f" of fold {self.fold}")


class _Measured(Value):
    """Numbers at the places that ``statistics.measures`` names; those without one of their own are ``further``."""

    further: dict[str, Estimate] = Field(
        default_factory=dict, exclude_if=lambda found: not found, description="By the name of the measure"
    )

    def has(self, measure: Measure) -> bool:
        """Return whether the report is young enough to have a number."""
        return bool(measure.place) or measure.name in self.further

    def estimate(self, measure: Measure) -> Estimate:
        """Return one number, not known where the report is older than the measure."""
        if not measure.place:
            return self.further.get(measure.name, Estimate(value=None))
        found = operator.attrgetter(measure.place)(self)
        assert isinstance(found, Estimate)
        return found


class ClassMetrics(_Measured):
    """One class against the rest."""

    diagnosis: Diagnosis
    n_images: int = Field(ge=0)
    n_groups: int = Field(ge=0)
    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate
    f1: Estimate
    auc: Estimate


class Malignancy(Value):
    """MEL, BCC and SCC pooled, by the most probable class; and melanoma by its probability."""

    sensitivity: Estimate
    specificity: Estimate
    ppv_at_1_percent: float | None = Field(description="Share of alarms that are right if 1 of 100 were malignant")
    ppv_at_5_percent: float | None = Field(description="The same if 5 of 100 were malignant")
    melanoma_sensitivity_at_80_specificity: Estimate


class Probabilities(Value):
    """How far the probabilities can be believed, once they are brought to the class shares of the measured images."""

    temperature: float = Field(gt=0)
    class_prior: tuple[float, ...] | None = Field(
        default=None,
        description="Class shares that the model's probabilities stand for, in CLASS_ORDER; none: an older report, "
        "whose numbers below are of the probabilities as they were answered",
    )
    class_shares: tuple[float, ...] | None = Field(
        default=None, description="Shares of the measured images that the probabilities were brought to"
    )
    brier: Estimate = Field(description="Sum over the classes, 0 to 2; lower is better")
    log_loss: Estimate = Field(description="Nats; lower is better")
    calibration_error: Estimate = Field(description="Expected calibration error, 15 equal bins; lower is better")
    bins: tuple[tuple[int, float, float], ...] = Field(
        description="Per bin of the leading probability: images, sum of probabilities, images predicted right"
    )


class Metrics(_Measured):
    """Content of ``metrics.json``; ``null`` is what cannot be known."""

    subject: Subject
    chance: float = Field(description="1 / number of classes present")
    balanced_accuracy: Estimate
    accuracy: Estimate
    macro_f1: Estimate
    macro_auc: Estimate
    malignancy: Malignancy
    probabilities: Probabilities
    classes: tuple[ClassMetrics, ...] = Field(description="In CLASS_ORDER")
    confusion: tuple[tuple[int, ...], ...] = Field(description="True classes in rows, predicted ones in columns")
    confusion_by_row: tuple[tuple[float | None, ...], ...] | None = Field(
        default=None,
        exclude_if=_is_none,
        description="The same as shares of the true class; null in the row of a class without images. None of these "
        "three: an older report",
    )
    predictive_values: PredictiveValues | None = Field(default=None, exclude_if=_is_none)
    decision_curve: DecisionCurve | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Of the summed malignant probability, brought to the class shares of the images",
    )

    def headline_rows(self) -> list[Row]:
        """Return the numbers that matter most, as rows of measure, value and 95 % interval."""
        return [
            {
                "measure": one.heading(self.chance, at_shares=self.probabilities.class_shares is not None),
                "value": self.estimate(one).value_in_words(),
                "interval": self.estimate(one).interval_in_words(),
            }
            for one in MEASURES
            if one.is_headline and self.has(one)
        ]

    def predictive_rows(self) -> list[Row]:
        """Return PPV and NPV, one row for each decision and prevalence; an older report has none."""
        return [
            {
                "malignant by": one.decision,
                "prevalence": f"{one.prevalence:.0%}",
                "PPV": one.ppv.in_words(),
                "NPV": one.npv.in_words(),
            }
            for one in (self.predictive_values.rows if self.predictive_values else ())
        ]

    def class_rows(self) -> list[Row]:
        """Return one row per class."""
        return [
            {
                "class": f"{CLASS_NAMES[one.diagnosis]} ({one.diagnosis})",
                "images": one.n_images,
                "groups": one.n_groups,
                **_cells(one),
            }
            for one in self.classes
        ]


def _cells(row: ClassMetrics) -> Row:
    """Return the measured cells of a class's row."""
    cells: Row = {}
    for measure in CLASS_MEASURES:
        found = row.estimate(measure)
        cells[measure.label] = found.value_in_words()
        if measure.interval_label:
            cells[measure.interval_label] = found.interval_in_words()
    return cells


def read_metrics(store: Store, report: ReportRef) -> Metrics:
    """Return a report's numbers.

    Raises:
        ArtifactNotFound: The report is not in the store.
        ArtifactCorrupt: Its bytes are not those that were published, or no metrics of this version.
    """
    body = read_file(store, report, METRICS_NAME)
    try:
        return Metrics.model_validate_json(body)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected the metrics of report {report.id!r} in this version's form, got {error.error_count()} fields "
            "that differ; evaluate the model again",
            key=report.key,
        ) from error


def read_remarks(store: Store, report: ReportRef) -> tuple[str, ...]:
    """Return what a reader must know before trusting a number of a report; an older report has none.

    Raises:
        ArtifactCorrupt: Its bytes are not those that were published.
    """
    try:
        return tuple(json.loads(read_file(store, report, REMARKS_NAME)))
    except ArtifactNotFound:
        return ()


def report_address(store: Store, report: ReportRef) -> str:
    """Return where a report's page lies, below the digest of its files.

    Raises:
        ArtifactNotFound: The report is not in the store.
        ArtifactCorrupt: What is there is another report.
    """
    return f"{store.url}/{files_folder(*get_index(store, report))}/{REPORT_PAGE_NAME}"


def read_predictions(store: Store, report: ReportRef) -> pd.DataFrame:
    """Return a report's predictions, one row per image, sorted by ``isic_id``.

    Columns: isic_id str, group str, class_index int8, predicted_index int8, correct bool, and float32
    probabilities p_MEL … p_SCC; of a model that has such a score also ood_score float32.

    Raises:
        ArtifactNotFound: The report is not in the store.
        ArtifactCorrupt: Its bytes are not those that were published.
    """
    return read_frame(read_file(store, report, PREDICTIONS_NAME))


def read_left_out(store: Store, report: ReportRef) -> list[dict[str, str]]:
    """Return the images of an external test set that a report does not measure: isic_id, reason and detail.

    Raises:
        ArtifactNotFound: The report is not in the store, or is none of an external test set.
        ArtifactCorrupt: Its bytes are not those that were published.
    """
    return list(csv.DictReader(io.StringIO(read_file(store, report, LEFT_OUT_NAME).decode())))


def latest_report(
    store: Store, model: ModelRef, *, split: Literal["validation", "calibration", "test"] = "test"
) -> ReportRef:
    """Return the newest report on a model's performance on a split; never one on an external test set.

    Raises:
        ArtifactNotFound: There is none.
    """
    reports = [report for report in _reports(store, model) if report.split == split and not report.external]
    if not reports:
        raise ArtifactNotFound(
            f"expected a report on the {split} split for model {model.id!r}, found none; evaluate the model",
            key=_prefix(model),
        )
    return reports[-1]


def external_reports(store: Store, model: ModelRef) -> list[ReportRef]:
    """Return every report of a model on an external test set, oldest first; ``external`` names the set."""
    return [report for report in _reports(store, model) if report.external]


def _prefix(model: ModelRef) -> str:
    return report_key(model.id, "0" * 12).rpartition("/")[0] + "/"


def _reports(store: Store, model: ModelRef) -> list[ReportRef]:
    """Return every report of a model, oldest first."""
    found = [
        (index.created, key, ref_from_folder(ReportRef, key, index, sha256))
        for key, index, sha256 in list_folders(store, _prefix(model))
    ]
    return [report for *_, report in sorted(found, key=lambda item: item[:2]) if report.model.sha256 == model.sha256]
