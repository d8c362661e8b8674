"""What a model would answer if less were known of the patient: each known field left out, and all of them."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from lesion_core.errors import InputRejected
from lesion_core.fields.table import FIELDS, in_words
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, MALIGNANT, Diagnosis
from lesion_core.serving.predictor import Predictor
from lesion_core.types import PatientMetadata, Value

_MALIGNANT = [CLASS_ORDER.index(name) for name in MALIGNANT]


class WhatIf(Value):
    """The answer with one field, or all of them, left unknown, beside the answer as it was given."""

    fields: tuple[str, ...] = Field(description="Names of the fields that are left unknown", min_length=1)
    diagnosis: Diagnosis = Field(description="Leading class of the answer as it was given")
    probability: float = Field(ge=0, le=1, description="Of that class, as it was given")
    probability_without: float = Field(ge=0, le=1, description="Of the same class, with the fields unknown")
    malignant: float = Field(ge=0, description="Sum over the malignant classes, as it was given")
    malignant_without: float = Field(ge=0, description="The same, with the fields unknown")
    diagnosis_without: Diagnosis = Field(description="Leading class with the fields unknown")

    @property
    def change(self) -> float:
        """Probability of the leading class with the fields unknown, minus as it was given."""
        return self.probability_without - self.probability

    @property
    def flips(self) -> bool:
        """Whether another class leads."""
        return self.diagnosis_without != self.diagnosis

    @property
    def flips_malignancy(self) -> bool:
        """Whether the answer changes between a malignant class and one that is not."""
        return (self.diagnosis in MALIGNANT) != (self.diagnosis_without in MALIGNANT)

    def in_words(self) -> str:
        """Return what changes, in one or two sentences, the second one a warning."""
        names = in_words([field.noun for field in FIELDS if field.name in self.fields])
        text = (
            f"With {names} unknown, the probability of {CLASS_NAMES[self.diagnosis].lower()} is "
            f"{self.probability_without:.2f} instead of {self.probability:.2f}."
        )
        if not self.flips:
            return text
        other = CLASS_NAMES[self.diagnosis_without].lower()
        kind = ", and between malignant and not malignant" if self.flips_malignancy else ""
        return f"{text} Warning: the answer would change to {other}{kind}; it depends on what was entered."


def what_if(predictor: Predictor, pixels: np.ndarray, metadata: PatientMetadata) -> tuple[WhatIf, ...]:
    """Return the answers with each known field left unknown, in the order of the fields, then with all of them.

    A field that is unknown already is not asked for; with nothing known, the result is empty, and with one known
    field it has one entry. All answers are made in one call.

    Args:
        predictor: The model.
        pixels: uint8 (s, s, 3), preprocessed for this model.
        metadata: What is known of the patient.

    Raises:
        ConfigError: The pixels are not of this model's size.
        InputRejected: The model gives infinite values or NaN for this image (``field`` is ``image``).
    """
    known = [field.name for field in FIELDS if getattr(metadata, field.name) is not None]
    left_out = [(name,) for name in known] + ([tuple(known)] if len(known) > 1 else [])
    if not left_out:
        return ()
    patients = [metadata, *(_without(metadata, names) for names in left_out)]
    answers = predictor.predict(np.repeat(pixels[None], len(patients), axis=0), inputs_of(patients))
    if not np.isfinite(answers.logits).all():
        raise InputRejected(
            f"expected numbers from the model {predictor.model_id} for this image, got none (NaN); no probability "
            "can be given. Tell whoever runs this program: the model must be trained again.",
            field="image",
        )
    probs = answers.probs.astype(np.float64)
    return tuple(_compare(names, probs[0], probs[place]) for place, names in enumerate(left_out, start=1))


def inputs_of(patients: Sequence[PatientMetadata]) -> dict[str, np.ndarray]:
    """Return the metadata part of the network's inputs for one image of each patient, (n,) each."""
    return {
        field.input: np.array([field.encode(getattr(patient, field.name)) for patient in patients], field.dtype)
        for field in FIELDS
    }


def _without(metadata: PatientMetadata, names: Sequence[str]) -> PatientMetadata:
    return metadata.model_copy(update=dict.fromkeys(names))


def _compare(names: tuple[str, ...], given: np.ndarray, without: np.ndarray) -> WhatIf:
    leading = int(given.argmax())
    return WhatIf(
        fields=names,
        diagnosis=CLASS_ORDER[leading],
        probability=min(given[leading], 1.0),
        probability_without=min(without[leading], 1.0),
        malignant=float(given[_MALIGNANT].sum()),
        malignant_without=float(without[_MALIGNANT].sum()),
        diagnosis_without=CLASS_ORDER[int(without.argmax())],
    )
