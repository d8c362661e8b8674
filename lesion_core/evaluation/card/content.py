"""The content of a model card: one value, of which Markdown, HTML, JSON and XML are forms.

Its sections follow Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993), and CLEAR Derm
(Daneshjou et al. 2022, doi:10.1001/jamadermatol.2021.4915). docs/model-card.md says which item is answered where.
"""

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from lesion_core.evaluation.test_access import AccessCounts
from lesion_core.labels import Diagnosis, Nature
from lesion_core.statistics.estimates import Estimate
from lesion_core.types import Licence, Sha256, Value

Topic = Literal[
    "operating points",
    "answers with several classes",
    "calibration",
    "subgroups",
    "missing metadata",
    "out of distribution",
    "stress",
    "external tests",
]
TOPICS: tuple[Topic, ...] = get_args(Topic)


class CardTable(Value):
    """One analysis as a table; cells are plain text, escaped by whoever lays them out."""

    title: str
    note: str = Field(description="How it was measured and how it is read; plain text")
    header: tuple[str, ...] = Field(min_length=1)
    rows: tuple[tuple[str, ...], ...]
    topic: Topic | None = Field(
        default=None, description="Which question it answers; none: one that is not in TOPICS"
    )

    @model_validator(mode="after")
    def _is_rectangular(self) -> Self:
        if wrong := [len(row) for row in self.rows if len(row) != len(self.header)]:
            raise ValueError(f"expected {len(self.header)} cells in each row of {self.title!r}, got {wrong[0]}")
        return self


class Identity(Value):
    """Which model it is, and how it is made."""

    model_id: str
    sha256: Sha256 = Field(description="Of the index of the model's folder")
    recipe: str
    backbone: str
    fusion: str = Field(description="How metadata enter; 'none': not at all")
    start_weights: str = Field(description="Weights that the training of the network began with")
    size_px: int = Field(ge=1, description="Side of the square image that goes in")
    n_networks: int = Field(ge=1)
    n_views: int = Field(ge=1, description="Mirrored and turned views of an image that are averaged")
    temperature: float = Field(gt=0)
    prior: str = Field(description="Which class shares the probabilities stand for, in words")
    imbalance: dict[str, str] = Field(description="How the training treated rare classes, as in the recipe")
    synthetic: bool = Field(description="Whether generated images are in the model or in its test")


class Use(Value):
    """What it is for and what it is not for."""

    intended: str
    users: str
    patients: str
    how: str
    warning: str
    out_of_scope: tuple[str, ...]


class ClassEntry(Value):
    """A class that it can answer."""

    diagnosis: Diagnosis
    name: str
    nature: Nature
    n_train: int | None = Field(description="Training images; None: not recorded")
    n_tested: int
    n_tested_groups: int


class Training(Value):
    """What it was trained on."""

    dataset_id: str
    dataset_sha256: Sha256
    n_images: int
    images: dict[str, int] = Field(description="By class; empty: not recorded")
    synthetic: bool
    start_from: str | None
    teacher: str | None
    absent_classes: tuple[str, ...]


class Data(Value):
    """The dataset that it was measured on, all splits of it."""

    dataset_id: str
    dataset_sha256: Sha256
    images: dict[str, dict[str, int]] = Field(description="By split and class; splits without an image are left out")
    missing: dict[str, float] = Field(description="Share of images without a value, by field, 0 to 1")
    people: CardTable = Field(description="Age, sex, site and how the diagnosis was made")
    absences: tuple[str, ...] = Field(description="Who is missing from the data, in sentences")
    licences: dict[str, int]
    attributions: tuple[str, ...] = Field(description="Whom the licences of its images ask to name")


class PerformanceRow(Value):
    """One measured number of all test images."""

    name: str
    label: str = Field(description="With what a reader must know in brackets")
    better: Literal["higher", "lower"]
    is_of_probabilities: bool
    estimate: Estimate


class ClassRow(Value):
    """The measured numbers of one class against the rest."""

    diagnosis: Diagnosis
    n_images: int
    n_groups: int
    estimates: dict[str, Estimate] = Field(description="By the name of the measure")


class Measured(Value):
    """What was measured, on what."""

    split: str = Field(description="In words, e.g. 'test split of fold 2'")
    fold: int | None
    n_images: int
    n_groups: int
    n_seen_in_training: int
    n_bootstrap: int
    seed: int
    step_version: int
    looks: AccessCounts | None
    at_shares: bool = Field(description="Whether probabilities were brought to the class shares of the images")
    chance: float
    rows: tuple[PerformanceRow, ...]
    classes: tuple[ClassRow, ...]
    absent_classes: tuple[str, ...]
    ppv_at_1_percent: float | None
    ppv_at_5_percent: float | None


class ChangeEntry(Value):
    """One decision on the model: who, when, what and why."""

    at: str = Field(description="ISO 8601, UTC")
    who: str
    what: str = Field(description="E.g. 'approved', 'rejected', 'replaced by …'")
    why: str
    is_approved: bool | None = Field(
        default=None, description="Whether the model is the approved one since; None: this changes nothing about it"
    )

    @property
    def when(self) -> str:
        """The minute, e.g. '2026-01-31 14:05'."""
        return self.at[:16].replace("T", " ")


class Withdrawal(Value):
    """What the archive has taken back since of the images behind the model."""

    n_made_from: int = Field(ge=0)
    n_tested_on: int = Field(ge=0)
    images: dict[str, tuple[str, ...]] = Field(description="Ids by what they were used for")
    unknown: tuple[str, ...] = Field(description="Datasets and models that are stored no more, so nobody can tell")


class ModelCard(Value):
    """A model card. What was not measured is named in ``not_measured`` with its reason, never left out."""

    form: Literal[1] = Field(default=1, description="Version of this form of the card")
    identity: Identity
    use: Use
    classes: tuple[ClassEntry, ...]
    measured: Measured
    sections: tuple[CardTable, ...] = Field(default=(), description="Further analyses")
    not_measured: dict[Topic, str] = Field(description="Reason for each of TOPICS that no section answers")
    training: Training
    data: Data
    limits: tuple[str, ...]
    licence: Licence = Field(description="The most restrictive one of any image used")
    attributions: tuple[str, ...] = Field(description="Whom the licences of the training images ask to name")
    training_seed: str
    history: tuple[ChangeEntry, ...] | None = Field(
        default=None, description="Decisions on the model, oldest first; None: the card was written before any"
    )
    withdrawal: Withdrawal | None = Field(default=None, description="None: nothing, or nobody had asked yet")

    @model_validator(mode="after")
    def _answers_every_topic_once(self) -> Self:
        answered = {table.topic for table in self.sections}
        if unanswered := [topic for topic in TOPICS if topic not in answered and topic not in self.not_measured]:
            raise ValueError(f"expected a section or a reason for each topic, got neither for {unanswered}")
        if both := [topic for topic in self.not_measured if topic in answered]:
            raise ValueError(f"expected a section or a reason for each topic, got both for {both}")
        return self

    @property
    def approval(self) -> ChangeEntry | None:
        """The decision by which the model is the approved one now; none: it is not, or nobody had asked yet."""
        moves = [entry for entry in self.history or () if entry.is_approved is not None]
        return moves[-1] if moves and moves[-1].is_approved else None

    def sections_on(self, topic: Topic | None) -> tuple[CardTable, ...]:
        """Return the sections on a topic, or on none of them."""
        return tuple(table for table in self.sections if table.topic == topic)
