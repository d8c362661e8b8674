"""From raw form values to an answer; every refusal is an ``InputRejected`` that names its field."""

import datetime
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.app.approved import ApprovedModel, Served
from lesion_core.errors import ImageRejected, InputRejected, ModelNotReady
from lesion_core.fields.kinds import UNKNOWN, AnyField, CategoryField
from lesion_core.fields.table import FIELDS
from lesion_core.serving import wording
from lesion_core.serving.audit import try_record
from lesion_core.serving.predictor import Answer
from lesion_core.serving.wording import Statement
from lesion_core.stores.protocol import Store
from lesion_core.types import OodPolicy, PatientMetadata

MAX_UPLOAD_MB = 20
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds whatever is asked: the model in service, or why there is none (``refusal``), and the limits of use.

    ``answered_by`` is the model of the answer that is shown, or ``None`` where none is.
    """

    served: Served | None = None
    refusal: str = ""
    statements: tuple[Statement, ...] = ()
    answered_by: str | None = None


@dataclass(frozen=True, slots=True)
class PredictionService:
    """Where questions are answered: the page and the HTTP API both come through here.

    ``audit_store`` is where records go, or ``None`` where none are kept. ``ood_policy`` says what becomes of an image
    that is unlike those that the model was made from.
    """

    approved: ApprovedModel
    audit_store: Store | None
    clock: Callable[[], datetime.datetime]
    ood_policy: OodPolicy = "refuse"

    def ask(self, image: bytes, metadata: PatientMetadata) -> tuple[Served, Answer]:
        """Answer for one encoded image.

        Raises:
            ModelNotReady: No model can answer now.
            InputRejected: The image cannot be used (``field`` "image").
        """
        served = self.approved.current()
        try:
            answer = served.predictor.predict_bytes(image, metadata)
        except ImageRejected as error:
            raise InputRejected(wording.rejected_image(error.reason), field="image") from error
        if self.audit_store is not None and (failure := try_record(self.audit_store, answer, now=self.clock())):
            log.error("the record of an answer was not kept: %s", failure)
        return served, answer

    def refuses(self, answer: Answer) -> bool:
        """Whether the probabilities of an answer are not to be shown, because the image is out of distribution."""
        return self.ood_policy == "refuse" and answer.is_far

    def standing(self, answered_by: str | None) -> Standing:
        """Return what holds now; ``answered_by`` is the model of the answer that is shown, if one is."""
        try:
            served = self.approved.current()
        except ModelNotReady as error:
            return Standing(None, str(error), self.statements(None), answered_by)
        return Standing(served, "", self.statements(served), answered_by)

    def statements(self, served: Served | None) -> tuple[Statement, ...]:
        """Return the disclaimer that goes with a model, or with none."""
        keeps_record = self.audit_store is not None
        if served is None:
            return wording.disclaimer_without_model(keeps_record=keeps_record)
        folder = served.predictor.folder
        return wording.disclaimer(
            *(folder.provenance, served.limits, served.approval),
            class_prior=folder.class_prior,
            keeps_record=keeps_record,
        )


def read_metadata(values: Mapping[str, object]) -> PatientMetadata:
    """Return the metadata that form values mean, by the name of the field; empty, ``None`` and "unknown" are unknown.

    Raises:
        InputRejected: A value is invalid; ``field`` says which.
    """
    return PatientMetadata(**{field.name: _read(field, values.get(field.name)) for field in FIELDS})


def _read(field: AnyField, value: object) -> Any:
    if _is_unknown(value):
        return None
    if isinstance(field, CategoryField):
        if value in field.words:
            return field.values(value)
    elif field.low <= (number := _number(value)) <= field.high:
        return number
    raise InputRejected(wording.rejected_field(field.title, field.expected_in_words, shown(value)), field=field.name)


def _number(value: object) -> float:
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return math.nan


def _is_unknown(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", UNKNOWN))


def shown(value: object) -> str:
    """Return a value as it came, cut short, for a message about it."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
