"""Every sentence a user of the page or of its HTTP API reads, and the words that must never be among them.

What the disclaimer must say follows CLEAR Derm (Daneshjou et al. 2022, JAMA Dermatology,
10.1001/jamadermatol.2021.4915) and the FDA's guidance on clinical decision support (2022), under which software
that analyses a medical image is a device. Numbers come from the model's provenance and the report on it, never
from here.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from lesion_core.fields.table import FIELDS, in_words
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, N_CLASSES_IN_WORDS, Diagnosis
from lesion_core.serving.model_folder import Provenance
from lesion_core.serving.out_of_distribution import FAR
from lesion_core.types import PatientMetadata, Value

TITLE = "Skin lesion classifier"
SUBTITLE = (
    f"Research use only. One dermoscopic image of one lesion in, probabilities for {N_CLASSES_IN_WORDS} classes out."
)
SYNTHETIC_BANNER = (
    "SYNTHETIC: this model was trained on generated images. Its answers have no clinical meaning whatever."
)
NOT_READY = (
    "No model is approved yet, so this page cannot answer. Run the pipeline, then approve a model with the flow "
    "“approve”; this page takes it up by itself, without a restart."
)
NOT_READY_TITLE = "Not ready"
BENIGN_WARNING = "A benign result does not exclude cancer: act on clinical suspicion."
NOT_READY_STORE = (
    "The place where models are kept cannot be read, so this page cannot answer. Check LESION_STORE and that the "
    "store is up; this page tries again by itself."
)
EMPTY_RESULT = f"Choose an image and press “Classify”. All {N_CLASSES_IN_WORDS} classes are always shown."
OUT_OF_DISTRIBUTION = "Unlike the training images"
REPLACE_HINT = "Choose another file to replace it."
LOGIN_NEEDED = "Name and password are needed (HTTP basic)."
LENGTH_NEEDED = "The request must say its Content-Length."
NO_IMAGE_FIELD = "Expected a file in the form field “image”."
NO_IMAGE = "Choose an image first: one dermoscopic photograph of one lesion."
MAP_NOTES: dict[Literal["evidence", "occlusion"], str] = {
    "evidence": (
        "Red areas speak for the class, blue areas against it, compared with the average of all "
        f"{N_CLASSES_IN_WORDS} classes. "
        "The average over the map is the image’s share of the class’s value."
    ),
    "occlusion": (
        "Red areas speak for the class: hiding them lowers its value. Blue areas speak against it. "
        "Areas were hidden one at a time, so the map is approximate."
    ),
}
MAP_CAVEAT = (
    "The map tells where the model looked, not where disease is. It is no segmentation, no margin and no evidence "
    "that the answer is right; a wrong answer comes with an equally convincing map."
)
METADATA = in_words()  # "age, sex and site"
_METADATA = f"{METADATA[:1].upper()}{METADATA[1:]}"
_ALL = f"all {('three', 'four', 'five', 'six', 'seven', 'eight', 'nine')[len(FIELDS) - 3]}"
METADATA_NOTE = (
    f"Probability with {METADATA} as given, minus the probability with {_ALL} unknown, in percentage points."
)
INTERACTION_NOTE = (
    f"In this model {METADATA} also change how much each feature of the image counts. The table parts what "
    "they changed in a class’s value (log-odds) into what they say by themselves, and what they say with this image "
    f"alone. The map shows what the image says with {_ALL} unknown."
)
NO_METADATA_NOTE = f"{_METADATA} were left unknown, so they added nothing."
METADATA_UNUSED_NOTE = f"This model does not use {METADATA}."

# Word boundaries are written out: "100 %" has none at its end.
_BANNED: tuple[str, ...] = (
    r"\bconfirm(s|ed|ing)?\b",
    r"(?<![\d.,])100\s?%",
    r"\bno need to (see|visit|consult)\b",
    r"\bguarantee",
    r"\brul(e|es|ed|ing) out\b",
    r"\b(definitely|certainly|undoubtedly|without doubt)\b",
    r"\b(safe to ignore|nothing to worry|no cause for concern|harmless|cancer[- ]free)\b",
    r"\b(diagnosed|diagnoses you|your diagnosis|you have)\b",
    r"\b(clinically (validated|proven)|medical[- ]grade|(fda|ce)[- ](approved|cleared|marked|certified))\b",
    r"\b(detects|finds|catches) (cancer|melanoma)\b",
    r"\b(better than|replaces?|outperforms?) (a |your |the )?(doctor|dermatologist|physician|biopsy)",
    r"\b(highly|extremely|very|perfectly) (accurate|reliable|precise)\b",
    r"\b(state[- ]of[- ]the[- ]art|world[- ]class|revolutionary)\b",
)
_BANNED_PATTERN = re.compile("|".join(_BANNED), re.IGNORECASE)
_MAX_CREDITED = 8


class Measured(Value):
    """A share from a report with its 95 % interval."""

    value: float = Field(ge=0, le=1)
    low: float | None = Field(default=None, ge=0, le=1)
    high: float | None = Field(default=None, ge=0, le=1)

    def __str__(self) -> str:
        """Write it as decimals, so that no measured share ever reads like certainty."""
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} (95 % interval {self.low:.2f}–{self.high:.2f})"


class MeasuredLimits(Value):
    """What the report on the served model measured; ``None`` where the test set has no such images."""

    test_set: str = Field(description="Id of the dataset")
    split: str
    n_images: int = Field(ge=1)
    external: bool = Field(default=False, description="Whether the test images come from another dataset")
    balanced_accuracy: Measured
    melanoma_sensitivity: Measured | None = Field(default=None, description="MEL answered as MEL")
    malignant_sensitivity: Measured | None = Field(
        default=None, description="Of a malignant class, answered as any malignant class"
    )
    malignant_specificity: Measured | None = None
    ppv_at_1_percent: float | None = Field(
        default=None, ge=0, le=1, description="Share of malignant answers that are right if 1 of 100 were malignant"
    )
    ppv_at_5_percent: float | None = Field(default=None, ge=0, le=1, description="The same if 5 of 100 were")
    absent_classes: tuple[str, ...] = Field(default=(), description="Classes without an image in the test set")


class Approval(Value):
    """Who put the served model there, when, and why."""

    model_id: str
    approver: str
    at: str = Field(description="ISO 8601")
    reason: str = ""


class Statement(Value):
    """One heading and its sentences; a line break separates measured numbers."""

    title: str
    text: str


_INTENDED_USE = Statement(
    title="What this is",
    text="For research use. Not a medical device, and not validated on patients prospectively. Meant for clinicians "
    "trained in dermoscopy, for one dermoscopic image of one lesion; not for screening, not for photographs taken "
    "without a dermatoscope, not for use by patients.",
)


def percent(probability: float) -> str:
    """Write a probability for a person: never as certainty in either direction."""
    if probability >= 0.9995:
        return "> 99.9 %"
    if probability < 0.0005:
        return "< 0.1 %"
    return f"{100 * probability:.1f} %"


def signed_points(difference: float) -> str:
    """Write a difference of probabilities in percentage points: '+3.1', '−0.4', '0.0'."""
    points = round(100 * difference, 1)
    return "0.0" if points == 0 else f"{points:+.1f}".replace("-", "−")


def disclaimer(
    provenance: Provenance,
    limits: MeasuredLimits | None,
    approval: Approval,
    *,
    class_prior: np.ndarray | None,
    keeps_record: bool = False,
) -> tuple[Statement, ...]:
    """Return what must stand beside every answer.

    Args:
        provenance: What the model was trained on.
        limits: What was measured on it; ``None`` where no report can be found, which is then said.
        approval: Who approved it.
        class_prior: Class shares that its probabilities stand for, float (k,); ``None``: not known.
        keeps_record: Whether the audit record is on.
    """
    return (
        _INTENDED_USE,
        Statement(title="What a result means", text=_meaning(class_prior, limits)),
        Statement(title="Measured limits", text=_measured(limits)),
        Statement(title="What it can name", text=_classes(provenance.absent_classes)),
        Statement(title="What it was trained on", text=f"{_training(provenance)} {credit_line(provenance)}"),
        *_general(keeps_record),
        Statement(title="Version", text=version_line(approval, provenance)),
    )


def disclaimer_without_model(*, keeps_record: bool = False) -> tuple[Statement, ...]:
    """Return what holds of every model, for the time when none is approved."""
    return (
        _INTENDED_USE,
        Statement(title="What a result means", text=BENIGN_WARNING),
        Statement(title="What it can name", text=_classes(())),
        *_general(keeps_record),
    )


def version_line(approval: Approval, provenance: Provenance) -> str:
    """Name the model version, its approval and the licence of its data."""
    reason = f" ({approval.reason})" if approval.reason else ""
    return (
        f"Model {approval.model_id}, approved {approval.at[:16].replace('T', ' ')} UTC by {approval.approver}"
        f"{reason}. "
        f"Training data licence: {provenance.licence}. Questions and wrong answers go to the approver."
    )


def credit_line(provenance: Provenance) -> str:
    """Name the licence that the model inherits, and whom its images are by."""
    named = [text.strip() for text in provenance.attributions if text.strip()]
    rest = len(named) - _MAX_CREDITED
    credit = f"Images by: {'; '.join(named[:_MAX_CREDITED])}" if named else "No attribution is recorded"
    more = f"; and {rest} more, in the model card" if rest > 0 else ""
    return f"{credit}{more}. Licence {provenance.licence}, that of the most restricted image; so is the model's."


def brief_disclaimer() -> str:
    """Return the sentence that goes with every exported answer."""
    return f"Research use only, not a medical device. {BENIGN_WARNING}"


def describe_patient(metadata: PatientMetadata) -> str:
    """Name what an answer knew of the patient: 'age 61, male, site unknown'."""
    return ", ".join(field.in_words(getattr(metadata, field.name)) for field in FIELDS)


def newer_model(answered_by: str) -> str:
    """Say that the shown answer is of a model that is no longer the approved one."""
    return f"Another model was approved since; the answer shown is of {answered_by}. Press “Classify” to ask anew."


def cannot_load(model_id: str, reason: str) -> str:
    """Say that the approved model cannot be loaded."""
    return (
        f"The approved model {model_id} cannot be loaded, so this page cannot answer. Roll back with the flow "
        f"“rollback”, or restore the model. Reason: {reason}"
    )


def rejected_image(reason: str) -> str:
    """Say why an upload cannot be used."""
    return f"This file cannot be used: {reason}. Choose one dermoscopic photograph (JPEG, PNG, WebP, TIFF or BMP)."


def out_of_distribution(score: float, threshold: float) -> str:
    """Say that an image is out of distribution, and what an answer to it is worth."""
    of_model = f"the dermoscopic images that the model was made from (score {score:.1f}, limit {threshold:.1f})"
    if score > FAR * threshold:
        return f"This image is unlike {of_model}. Its answer means nothing here: do not use it."
    reasons = "another camera, much ink, hair or gel, or another kind of image"
    return f"This image is not quite like {of_model}: {reasons}. Its answer may mean nothing."


def rejected_field(field: str, expected: str, got: object) -> str:
    """Say why a field's value cannot be used."""
    return f"{field}: expected {expected}, got {got}."


def unknown_field(name: str, known: Sequence[str], *, near: str | None) -> str:
    """Say that a form has a field that nobody reads, and which are read."""
    hint = f" Did you mean “{near}”?" if near else ""
    return f"Field “{name}” is not known. Expected {', '.join(known)}, each at most once.{hint}"


def repeated_field(name: str, n_times: int) -> str:
    """Say that a form has a field more than once."""
    return (
        f"Field “{name}” was given {n_times} times. Expected it once: one answer is about one image of one patient."
    )


def field_in_address(name: str, fields: Sequence[str], *, near: str | None) -> str:
    """Say that an address has a parameter; ``fields`` are what the form may have instead."""
    if not fields:
        return f"Parameter “{name}” in the address is not known. Expected the address alone."
    hint = "" if near in (None, name) else f" Did you mean “{near}”?"
    return (
        f"Parameter “{name}” in the address is not read. Expected {', '.join(fields)} as fields of the form, and the "
        f"address alone.{hint}"
    )


def too_large(limit_mb: int) -> str:
    """Say that a file is larger than the page takes."""
    return f"This file is larger than {limit_mb} MB. Export the image at a smaller size."


def check_wording(text: str) -> tuple[str, ...]:
    """Return the banned phrases in ``text``, as they stand there; none is what is wanted."""
    return tuple(match.group(0) for match in _BANNED_PATTERN.finditer(text))


def prior_in_words(class_prior: np.ndarray | None) -> str:
    """Say which class shares probabilities stand for: 'as if …', after which a sentence may end.

    Args:
        class_prior: float (k,), sum 1; ``None``: not known.
    """
    if class_prior is None:
        return "for class shares that are not known, because the model is of an older version"
    if np.allclose(class_prior, 1 / len(CLASS_ORDER), atol=1e-6):
        return f"as if all {N_CLASSES_IN_WORDS} classes were equally common (a flat prior)"
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(CLASS_ORDER, class_prior, strict=True))
    return f"as if the classes had these shares: {shares}"


def _meaning(class_prior: np.ndarray | None, limits: MeasuredLimits | None) -> str:
    return (
        f"{BENIGN_WARNING} The probabilities are {prior_in_words(class_prior)}: a class that is rarer among your "
        f"patients is less probable than shown. {_prevalence_warning(limits)}"
    )


def _prevalence_warning(limits: MeasuredLimits | None) -> str:
    general = (
        "Malignant lesions are rarer in most practices than in a test set, so more of the alarms are false there"
    )
    if limits is None or limits.ppv_at_1_percent is None or limits.ppv_at_5_percent is None:
        return f"{general}; how many cannot be computed without a measured sensitivity and specificity."
    return (
        f"{general}. Share of “malignant” answers that would be right: {limits.ppv_at_1_percent:.2f} where 1 % of "
        f"lesions are malignant, {limits.ppv_at_5_percent:.2f} where 5 % are."
    )


def _measured(limits: MeasuredLimits | None) -> str:
    if limits is None:
        return "No report on this model can be read, so its limits are unknown: do not rely on any answer."
    lines = [
        _sentence("Melanoma recognised as melanoma (sensitivity)", limits.melanoma_sensitivity, "melanoma"),
        _sentence(
            "Malignant lesion called malignant (sensitivity)", limits.malignant_sensitivity, "malignant lesion"
        ),
        _sentence(
            "Other lesion not called malignant (specificity)", limits.malignant_specificity, "non-malignant lesion"
        ),
        f"Balanced accuracy over the classes present: {limits.balanced_accuracy}.",
        f"Test set: {limits.n_images} images "
        + (
            f"of another dataset ({limits.test_set}, split “{limits.split}”)."
            if limits.external
            else f"held back from training ({limits.test_set}, split “{limits.split}”); no external test set."
        ),
    ]
    if limits.absent_classes:
        lines.append(f"Not in the test set, so untested: {_names(limits.absent_classes)}.")
    return "\n".join(lines)


def _sentence(what: str, measured: Measured | None, lesion: str) -> str:
    return f"{what}: {measured}." if measured else f"{what}: not measured, the test set has no {lesion}."


def _general(keeps_record: bool) -> tuple[Statement, ...]:
    return (
        Statement(title="What the map is not", text=MAP_CAVEAT),
        Statement(title="What happens to the image", text=_privacy(keeps_record)),
    )


def _classes(absent_classes: Sequence[str]) -> str:
    text = (
        f"Only {len(CLASS_ORDER)} classes: {_names(CLASS_ORDER)}. Any other lesion is forced into one of them, "
        "and so is any other image whose strangeness goes unnoticed."
    )
    if absent_classes:
        text += f" It never saw an example of: {_names(absent_classes)}."
    return text


def _training(provenance: Provenance) -> str:
    if provenance.synthetic:
        return f"{provenance.n_train_images} generated images, marked synthetic. No patient is among them."
    dataset = provenance.dataset.get("id", "dataset not named")
    return (
        f"{provenance.n_train_images} dermoscopic images ({dataset}). Public "
        "archives hold mostly light skin, and skin tone is neither balanced nor tested here, so performance on dark "
        "skin is unknown. Children, oral and genital sites, palms and soles, and rare diagnoses are few or missing."
    )


def _privacy(keeps_record: bool) -> str:
    text = "The image is used for this answer only: its temporary copy is deleted and nothing of it is stored."
    if keeps_record:
        kept = in_words(["probabilities", *(field.audited_as for field in FIELDS), "version"])
        return f"{text} A record is kept of {kept}: no image, no name."
    return f"{text} {_METADATA} are not stored either."


def _names(classes: Iterable[str]) -> str:
    return ", ".join(CLASS_NAMES[Diagnosis(item)].lower() for item in classes)
