"""What the analyses found, as it is stored in ``metrics.json``, and the rows of its tables.

Types only: ``evaluation.report`` has them as fields, and what measures them imports the report.
"""

from typing import Any, Literal

from pydantic import Field

from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.paired import Difference
from lesion_core.types import Value

Row = dict[str, Any]
GapMeasure = Literal["malignant sensitivity", "balanced accuracy"]
LEVEL = 0.05  # a gap below this false discovery rate is called one


class SubgroupScores(Value):
    """The numbers of one subgroup, each with its interval by groups."""

    balanced_accuracy: Estimate = Field(description="Of the classes that the subgroup has")
    malignant_sensitivity: Estimate = Field(description="By the leading class; MEL, BCC and SCC pooled")
    malignant_specificity: Estimate
    melanoma_auc: Estimate = Field(description="Melanoma against the rest")
    malignant_auc: Estimate = Field(description="By the sum of the malignant classes' probabilities")
    calibration_error: Estimate = Field(description="Expected calibration error at the subgroup's class shares")


class Subgroup(Value):
    """Images that share one value of one field."""

    field: str
    value: str
    n_images: int = Field(ge=1)
    n_groups: int = Field(ge=1, description="Groups with an image in it")
    n_classes: int = Field(ge=1, description="Classes with an image in it; chance is 1 / n_classes")
    scores: SubgroupScores | None = Field(default=None, description="None: too few groups, see ``reason``")
    reason: str | None = Field(default=None, description="Why nothing is printed")


class Gap(Value):
    """A subgroup against all other images, on groups that lie on one side only."""

    field: str
    value: str
    measure: GapMeasure
    inside: float = Field(ge=0, le=1, allow_inf_nan=False, description="Of the subgroup")
    outside: float = Field(ge=0, le=1, allow_inf_nan=False, description="Of the rest")
    expected: float = Field(
        allow_inf_nan=False,
        description="Mean difference when labels are permuted: what the two sides' class mixes alone make of it",
    )
    n_groups_inside: int = Field(ge=1)
    n_groups_outside: int = Field(ge=1)
    n_groups_on_both_sides: int = Field(ge=0, description="Left out of the test")
    p: float = Field(gt=0, le=1, description="Two-sided, of a permutation of group labels within strata")
    p_corrected: float = Field(gt=0, le=1, description="Benjamini and Hochberg's, over all gaps of the report")

    @property
    def difference(self) -> float:
        """Subgroup minus rest."""
        return self.inside - self.outside

    @property
    def is_found(self) -> bool:
        """Whether it is called a gap, with a false discovery rate of ``LEVEL``."""
        return self.p_corrected <= LEVEL


class Subgroups(Value):
    """Content of ``subgroups``: how well the model does in parts of the split."""

    min_groups: int = Field(ge=1, description="Below so many groups nothing is printed")
    n_permutations: int = Field(ge=1)
    subgroups: tuple[Subgroup, ...]
    gaps: tuple[Gap, ...]
    not_recorded: tuple[str, ...] = Field(description="Fields that no image of the split has a value of")

    def rows(self) -> list[Row]:
        """Return one row per subgroup; what is not printed says why."""
        return [_subgroup_row(one) for one in self.subgroups]

    def gap_rows(self) -> list[Row]:
        """Return one row per gap, the least corrected p first."""
        return [
            {
                "field": one.field,
                "subgroup": one.value,
                "measure": one.measure,
                "subgroup's": f"{one.inside:.3f}",
                "rest's": f"{one.outside:.3f}",
                "difference": f"{one.difference:+.3f}",
                "from the class mix": f"{one.expected:+.3f}",
                "p": f"{one.p:.4f}",
                "corrected p": f"{one.p_corrected:.4f}",
            }
            for one in sorted(self.gaps, key=lambda gap: (gap.p_corrected, gap.p))
        ]


def _subgroup_row(one: Subgroup) -> Row:
    row: Row = {"field": one.field, "subgroup": one.value, "images": one.n_images, "groups": one.n_groups}
    numbers = {name.replace("_", " "): "" for name in SubgroupScores.model_fields}
    if one.scores is not None:
        numbers = {
            name.replace("_", " "): getattr(one.scores, name).in_words(2) for name in SubgroupScores.model_fields
        }
    return row | numbers | {"not printed because": one.reason or ""}


class MissingField(Value):
    """The same images with some metadata made unknown. Differences are known minus unknown: a gain is positive."""

    unknown: tuple[str, ...] = Field(description="Fields that were made unknown, as people call them")
    is_all: bool = Field(description="Whether these are all fields: the image only")
    n_images_known: int = Field(ge=0, description="Images with a value of any of them; the others stay as they are")
    balanced_accuracy: Difference
    malignant_sensitivity: Difference
    log_loss: Difference = Field(description="Nats, at the images' class shares; negative: metadata helps")
    flips: Estimate = Field(description="Share of images whose leading class changes")

    @property
    def title(self) -> str:
        """Return 'age unknown', or 'all unknown (image only)'."""
        return "all unknown (image only)" if self.is_all else f"{' and '.join(self.unknown)} unknown"

    @property
    def verdict(self) -> str:
        """Say whether knowing the fields helps balanced accuracy on these images, and malignant sensitivity."""
        found = self.malignant_sensitivity.difference
        if found.low is None or found.high is None or found.low <= 0 <= found.high:
            return self._verdict
        return f"{self._verdict} Malignant sensitivity differs, known minus unknown: {found.in_words()}."

    @property
    def _verdict(self) -> str:
        what = "the metadata" if self.is_all else " and ".join(self.unknown)
        gain = self.balanced_accuracy.difference
        if gain.low is None or gain.high is None:
            return f"It cannot be told whether {what} helps here: the difference is not known."
        said = f"the difference in balanced accuracy is {gain.in_words()}"
        if self.n_images_known == 0:
            return f"{_capital(what)} does not help here: no image has a value."
        if gain.low > 0:
            return f"{_capital(what)} helps here: {said}."
        if gain.high < 0:
            return f"{_capital(what)} does not help here, it harms: {said}."
        return f"{_capital(what)} does not help here: {said}, and the interval includes 0."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class MissingMetadata(Value):
    """Content of ``missing_metadata``: each field unknown, and all of them."""

    n_images: int = Field(ge=1)
    n_groups: int = Field(ge=1)
    fields: tuple[MissingField, ...] = Field(description="Field by field, and all of them last")

    @property
    def image_only(self) -> MissingField:
        """All metadata unknown."""
        return self.fields[-1]

    def rows(self) -> list[Row]:
        """Return one row per field and one for all of them."""
        return [
            {
                "metadata": one.title,
                "images with a value": one.n_images_known,
                "balanced accuracy": _number(one.balanced_accuracy.reference),
                "gain of knowing, balanced accuracy": one.balanced_accuracy.difference.in_words(),
                "gain of knowing, malignant sensitivity": one.malignant_sensitivity.difference.in_words(),
                "change of log loss by knowing": one.log_loss.difference.in_words(),
                "leading class changes": one.flips.in_words(),
                "verdict": one.verdict,
            }
            for one in self.fields
        ]


class StressRow(Value):
    """The same images, changed in one way to one degree. Differences are changed minus unchanged."""

    perturbation: str
    severity: int = Field(ge=1)
    amount: str = Field(description="The severity in its unit")
    malignant_change: Estimate = Field(description="Mean absolute change of the malignant classes' sum")
    leading_change: Estimate = Field(
        description="Mean absolute change of the probability of the class that leads on the unchanged image"
    )
    flips: Estimate = Field(description="Share of images whose leading class changes")
    malignant_flips: Estimate = Field(description="Share whose leading class becomes malignant, or no longer is")
    balanced_accuracy: Difference
    malignant_sensitivity: Difference


class Stress(Value):
    """Content of ``stress``: how far answers depend on what says nothing of the diagnosis."""

    n_images: int = Field(ge=1, description="Images that were changed")
    n_images_of: int = Field(ge=1, description="Images of the split that they were chosen from")
    n_groups: int = Field(ge=1)
    images_by_class: dict[str, int] = Field(description="Images that were changed, by class")
    seed: int
    rows_by_change: tuple[StressRow, ...]

    def rows(self) -> list[Row]:
        """Return one row per perturbation and severity."""
        return [
            {
                "change": one.perturbation,
                "severity": one.severity,
                "amount": one.amount,
                "malignant probability moves by": one.malignant_change.in_words(),
                "leading probability moves by": one.leading_change.in_words(),
                "leading class changes": one.flips.in_words(),
                "malignant or not changes": one.malignant_flips.in_words(),
                "balanced accuracy": _number(one.balanced_accuracy.candidate),
                "difference": one.balanced_accuracy.difference.in_words(),
            }
            for one in self.rows_by_change
        ]


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
