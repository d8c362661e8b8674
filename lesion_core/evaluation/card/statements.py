"""Sentences that every card has, whatever was measured: what it is for, and what is not done by default."""

from collections.abc import Mapping

from lesion_core.evaluation.card.content import Topic, Use
from lesion_core.labels import N_CLASSES_IN_WORDS
from lesion_core.serving.wording import BENIGN_WARNING, METADATA, disclaimer_without_model

USE = Use(
    intended=disclaimer_without_model()[0].text,
    users="Clinicians trained in dermoscopy, and researchers. They decide; an answer is one remark among others.",
    patients="People with a lesion that a clinician has chosen to look at with a dermatoscope. How they compare with "
    "the people in the data is under “Who is in the data”.",
    how=f"Give one dermoscopic image of one lesion, and {METADATA} where known. Read all {N_CLASSES_IN_WORDS} "
    "probabilities, with the class shares that they stand for in mind.",
    warning=BENIGN_WARNING,
    out_of_scope=(
        "Screening, and triage without a clinician.",
        "Photographs taken without a dermatoscope, and images of histological slides.",
        "Several lesions in one image, or a part of a lesion.",
        f"Lesions of a diagnosis that is none of the {N_CLASSES_IN_WORDS} classes.",
        "The only reason not to take a biopsy, or to take one.",
        "Use by patients.",
    ),
)
# What is said of a topic as long as no analysis answers it.
REASONS: Mapping[Topic, str] = {
    "operating points": "No threshold was chosen and tested: an answer is the most probable class. The one at a "
    "fixed specificity is under Performance.",
    "answers with several classes": "No sets of classes with a stated coverage (conformal prediction) were made.",
    "calibration": "The report has no reliability bins.",
    "subgroups": "The report does not part its images by age, sex, site or source; skin tone is not recorded.",
    "missing metadata": f"The model was not measured again with {METADATA} taken away.",
    "out of distribution": "The model was not shown images of other kinds, such as healthy skin or other diagnoses.",
    "stress": "The model was not measured on images made worse on purpose, such as blurred or darker ones.",
    "external tests": "No dataset of another source is part of this report.",
}
TITLES: Mapping[Topic, str] = {
    "operating points": "Operating points",
    "answers with several classes": "Answers with several classes",
    "calibration": "Calibration",
    "subgroups": "Subgroups",
    "missing metadata": "Missing metadata",
    "out of distribution": "Out of distribution",
    "stress": "Stress tests",
    "external tests": "External tests",
}
NO_SKIN_TONE = "Skin tone is not recorded, so performance by skin tone is not known."
SAME_SOURCES = (
    "Measured on images of the same sources as the training images; no other hospital's images were tested."
)
WRITTEN_BEFORE = (
    "This form of the card was written when the model was measured, before anyone decided on it. Who approved or "
    "rejected the model, when and why, is added where the card is shown."
)
NO_DECISION = "No decision on this model is recorded."
