"""The HTTP API's answers; their fields are what ``/openapi.json`` describes."""

from collections.abc import Sequence

from pydantic import Field

from deployments.app.approved import Served
from lesion_core.labels import CLASS_NAMES, N_CLASSES_IN_WORDS, Diagnosis
from lesion_core.serving import wording
from lesion_core.serving.predictor import Answer, ClassAnswer
from lesion_core.serving.wording import Statement
from lesion_core.types import PatientMetadata, Value


class Shares(Value):
    """What adds up to a class's log-odds against the average of the classes."""

    image: float
    metadata: float
    baseline: float = Field(description="What the model says before it sees anything")
    interaction: float | None = Field(
        default=None,
        exclude_if=lambda share: share is None,
        description="What the image says differently because the patient is known; only where the model has it",
    )


class ClassProbability(Value):
    """One class of an answer."""

    diagnosis: Diagnosis = Field(serialization_alias="class")
    name: str
    malignant: bool = Field(description="By histology")
    probability: float = Field(ge=0, le=1)
    probability_without_metadata: float = Field(ge=0, le=1, description=f"With {wording.METADATA} unknown")
    shares: Shares


class Note(Value):
    """What is unlike the training material in an image."""

    code: str
    text: str


class Likeness(Value):
    """How unlike the images that the model was made from the image is."""

    score: float = Field(ge=0, description="The higher, the more unlike: a Mahalanobis distance")
    threshold: float | None = Field(description="A higher score is flagged; null where the model has no threshold")
    flagged: bool | None = Field(description="Whether the image is out of distribution; null is not known")
    refused: bool = Field(description="Whether no probabilities are given because of that")
    text: str | None = Field(description="What it means, where the image is flagged")


class PredictAnswer(Value):
    """The answer to one image."""

    model: str = Field(description="Id of the model version")
    approved_by: str
    approved_at: str = Field(description="ISO 8601")
    synthetic: bool = Field(description="Whether the model saw generated images: then the answer means nothing")
    metadata: PatientMetadata = Field(description="What was known of the patient for this answer; null is unknown")
    classes: tuple[ClassProbability, ...] = Field(
        description=f"All {N_CLASSES_IN_WORDS}, most probable first; empty where the image is refused"
    )
    out_of_distribution: Likeness | None = Field(description="null where the model gives no such score")
    notes: tuple[Note, ...]
    disclaimer: str
    limits_of_use: tuple[Statement, ...]


class Health(Value):
    """The process is up."""

    status: str


class Readiness(Value):
    """A model is approved and loaded."""

    status: str
    model: str = Field(description="Id of the model version")


class Refusal(Value):
    """Why a request has no answer."""

    field: str = Field(description="What it is about: a field or parameter, 'form', 'login' or 'model'")
    message: str = Field(description="What was expected and what came")


def describe(
    served: Served, answer: Answer, statements: Sequence[Statement], *, is_refused: bool = False
) -> PredictAnswer:
    """Return an answer for a program; the map is left out, the shares that add up to each log-odds are not.

    With ``is_refused`` the classes are left out, too.
    """
    return PredictAnswer(
        model=answer.model_id,
        approved_by=served.approval.approver,
        approved_at=served.approval.at,
        synthetic=served.synthetic,
        metadata=answer.metadata,
        classes=() if is_refused else tuple(_describe_class(item) for item in answer.classes),
        out_of_distribution=_describe_likeness(answer, is_refused),
        notes=tuple(Note(code=note.code, text=note.text) for note in answer.notes),
        disclaimer=wording.brief_disclaimer(),
        limits_of_use=tuple(statements),
    )


def _describe_likeness(answer: Answer, is_refused: bool) -> Likeness | None:
    found = answer.out_of_distribution
    if found is None:
        return None
    text = None
    if found.threshold is not None and found.flagged:
        text = wording.out_of_distribution(found.score, found.threshold)
    return Likeness(
        score=found.score, threshold=found.threshold, flagged=found.flagged, refused=is_refused, text=text
    )


def _describe_class(item: ClassAnswer) -> ClassProbability:
    return ClassProbability(
        diagnosis=item.diagnosis,
        name=CLASS_NAMES[item.diagnosis],
        malignant=item.malignant,
        probability=item.probability,
        probability_without_metadata=item.probability_without_metadata,
        shares=Shares(
            image=item.image_share,
            metadata=item.metadata_share,
            baseline=item.baseline_share,
            interaction=item.interaction_share,
        ),
    )
