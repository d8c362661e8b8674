"""What is drawn and written of each class: how often, of whom, where, how it looks, and how the archive names it.

The look follows what dermatoscopists tell the classes by: the consensus terms of Kittler et al. 2016 (J Am Acad
Dermatol 74:1093, doi:10.1016/j.jaad.2015.12.038).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lesion_core.labels import Diagnosis
from lesion_core.synthetic.keratinising import paint_actinic_keratosis, paint_benign_keratosis, paint_squamous
from lesion_core.synthetic.melanocytic import paint_melanoma, paint_nevus
from lesion_core.synthetic.sheet import Sheet
from lesion_core.synthetic.stromal import paint_basal_cell, paint_dermatofibroma, paint_vascular

Painter = Callable[[Sheet], None]
_MELANOMA = ("Malignant", "Malignant melanocytic proliferations (Melanoma)")
_KERATOSIS = ("Benign", "Benign epidermal proliferations")


@dataclass(frozen=True, slots=True)
class Profile:
    """One class.

    Attributes:
        share: Of the lesions; the order of ISIC 2019, the rare classes raised so that each can be split in four.
        age_years: Mean age of the patients; this and ``men`` roughly as in the ISIC 2019 training metadata.
        men: Share of men.
        site_weights: In SITE_ORDER: anterior torso, head/neck, lateral torso, lower extremity, oral/genital,
            palms/soles, posterior torso, upper extremity.
        spellings: Of the archive, one or several: diagnosis_1 to diagnosis_3. VASC has no third level there.
        paint: Draws it.
        look_alikes: What it is mistaken for at the bedside; such a lesion cannot be determined by its image.
    """

    share: float
    age_years: float
    men: float
    site_weights: tuple[float, ...]
    spellings: tuple[tuple[str, str, str], ...]
    paint: Painter
    look_alikes: tuple[Diagnosis, ...]


PROFILES: Mapping[Diagnosis, Profile] = {
    Diagnosis.MEL: Profile(
        share=0.16,
        age_years=61,
        men=0.57,
        site_weights=(22, 16, 1, 18, 1, 4, 24, 14),
        spellings=(
            (*_MELANOMA, "Melanoma, NOS"),
            (*_MELANOMA, "Melanoma in situ"),
            (*_MELANOMA, "Melanoma Invasive"),
        ),
        paint=paint_melanoma,
        look_alikes=(Diagnosis.NV, Diagnosis.BKL),
    ),
    Diagnosis.NV: Profile(
        share=0.34,
        age_years=46,
        men=0.48,
        site_weights=(26, 7, 2, 22, 1, 3, 28, 11),
        spellings=(("Benign", "Benign melanocytic proliferations", "Nevus"),),
        paint=paint_nevus,
        look_alikes=(Diagnosis.MEL, Diagnosis.BKL, Diagnosis.DF),
    ),
    Diagnosis.BCC: Profile(
        share=0.13,
        age_years=67,
        men=0.60,
        site_weights=(20, 40, 1, 10, 0, 0, 20, 9),
        spellings=(
            ("Malignant", "Malignant adnexal epithelial proliferations - Follicular", "Basal cell carcinoma"),
        ),
        paint=paint_basal_cell,
        look_alikes=(Diagnosis.SCC, Diagnosis.NV),
    ),
    Diagnosis.AK: Profile(
        share=0.08,
        age_years=68,
        men=0.66,
        site_weights=(4, 66, 0, 8, 0, 0, 5, 17),
        spellings=(("Indeterminate", "Indeterminate epidermal proliferations", "Solar or actinic keratosis"),),
        paint=paint_actinic_keratosis,
        look_alikes=(Diagnosis.SCC, Diagnosis.BKL),
    ),
    Diagnosis.BKL: Profile(
        share=0.12,
        age_years=64,
        men=0.54,
        site_weights=(18, 32, 1, 17, 1, 0, 20, 11),
        spellings=(
            (*_KERATOSIS, "Seborrheic keratosis"),
            (*_KERATOSIS, "Pigmented benign keratosis"),
            (*_KERATOSIS, "Solar lentigo"),
            (*_KERATOSIS, "Lichen planus like keratosis"),
        ),
        paint=paint_benign_keratosis,
        look_alikes=(Diagnosis.MEL, Diagnosis.NV, Diagnosis.AK),
    ),
    Diagnosis.DF: Profile(
        share=0.055,
        age_years=49,
        men=0.40,
        site_weights=(6, 2, 1, 62, 0, 0, 8, 21),
        spellings=(("Benign", "Benign soft tissue proliferations - Fibro-histiocytic", "Dermatofibroma"),),
        paint=paint_dermatofibroma,
        look_alikes=(Diagnosis.NV, Diagnosis.BCC),
    ),
    Diagnosis.VASC: Profile(
        share=0.055,
        age_years=52,
        men=0.47,
        site_weights=(26, 20, 2, 22, 3, 4, 12, 11),
        spellings=(("Benign", "Benign soft tissue proliferations - Vascular", ""),),
        paint=paint_vascular,
        look_alikes=(Diagnosis.MEL, Diagnosis.BCC),
    ),
    Diagnosis.SCC: Profile(
        share=0.06,
        age_years=70,
        men=0.64,
        site_weights=(8, 38, 0, 26, 1, 1, 8, 18),
        spellings=(("Malignant", "Malignant epidermal proliferations", "Squamous cell carcinoma, NOS"),),
        paint=paint_squamous,
        look_alikes=(Diagnosis.AK, Diagnosis.BCC),
    ),
}
