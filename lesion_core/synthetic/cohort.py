"""Who the images are of: patients, lesions and images, with metadata that leans on the diagnosis."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lesion_core.labels import CLASS_ORDER, Diagnosis, Sex, Site
from lesion_core.synthetic.skin import SkinTone, draw_tone
from lesion_core.types import Licence

# Shares of the lesions: the order of ISIC 2019, the rare classes raised so that each can be split in four.
CLASS_SHARES: Mapping[Diagnosis, float] = {
    Diagnosis.MEL: 0.16,
    Diagnosis.NV: 0.34,
    Diagnosis.BCC: 0.13,
    Diagnosis.AK: 0.08,
    Diagnosis.BKL: 0.12,
    Diagnosis.DF: 0.055,
    Diagnosis.VASC: 0.055,
    Diagnosis.SCC: 0.06,
}
_IMAGES_PER_LESION = 1.35
_MOST_IMAGES_OF_A_LESION = 5
# Mean age in years, share of men; roughly those of the ISIC 2019 training metadata.
_AGE_AND_MEN: Mapping[Diagnosis, tuple[float, float]] = {
    Diagnosis.MEL: (61, 0.57),
    Diagnosis.NV: (46, 0.48),
    Diagnosis.BCC: (67, 0.60),
    Diagnosis.AK: (68, 0.66),
    Diagnosis.BKL: (64, 0.54),
    Diagnosis.DF: (49, 0.40),
    Diagnosis.VASC: (52, 0.47),
    Diagnosis.SCC: (70, 0.64),
}
# Weights of the sites in SITE_ORDER: anterior torso, head/neck, lateral torso, lower extremity,
# oral/genital, palms/soles, posterior torso, upper extremity.
_SITE_WEIGHTS: Mapping[Diagnosis, tuple[float, ...]] = {
    Diagnosis.MEL: (22, 16, 1, 18, 1, 4, 24, 14),
    Diagnosis.NV: (26, 7, 2, 22, 1, 3, 28, 11),
    Diagnosis.BCC: (20, 40, 1, 10, 0, 0, 20, 9),
    Diagnosis.AK: (4, 66, 0, 8, 0, 0, 5, 17),
    Diagnosis.BKL: (18, 32, 1, 17, 1, 0, 20, 11),
    Diagnosis.DF: (6, 2, 1, 62, 0, 0, 8, 21),
    Diagnosis.VASC: (26, 20, 2, 22, 3, 4, 12, 11),
    Diagnosis.SCC: (8, 38, 0, 26, 1, 1, 8, 18),
}
_LICENCES: tuple[Licence, ...] = ("CC-0", "CC-BY", "CC-BY-NC")


@dataclass(frozen=True, slots=True)
class Patient:
    """One invented person; an ``identifier`` of ``None`` is one the archive was not told."""

    identifier: str | None
    age_years: int
    sex: Sex
    tone: SkinTone
    clinic: int


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion of one patient, with the number of its images."""

    number: int
    identifier: str | None
    diagnosis: Diagnosis
    site: Site
    patient: Patient
    n_images: int


def draw_cohort(rng: np.random.Generator, n_images: int) -> list[Lesion]:
    """Draw lesions, in random order, that have ``n_images`` images in all."""
    diagnoses = _quotas(max(round(n_images / _IMAGES_PER_LESION), len(CLASS_ORDER)))
    rng.shuffle(diagnoses)
    counts = _image_counts(rng, len(diagnoses), n_images)
    patients = _draw_patients(rng, diagnoses)
    return [
        _draw_lesion(rng, number, diagnosis, patient, count)
        for number, (diagnosis, patient, count) in enumerate(zip(diagnoses, patients, counts, strict=True))
    ]


def _quotas(n_lesions: int) -> list[Diagnosis]:
    """Return the lesions' classes by largest remainder, at least one of each."""
    exact = {item: max(CLASS_SHARES[item] * n_lesions, 1.0) for item in CLASS_ORDER}
    counts = {item: math.floor(value) for item, value in exact.items()}
    by_remainder = sorted(CLASS_ORDER, key=lambda item: counts[item] - exact[item])
    for item in by_remainder[: max(n_lesions - sum(counts.values()), 0)]:
        counts[item] += 1
    return [item for item in CLASS_ORDER for _ in range(counts[item])]


def _image_counts(rng: np.random.Generator, n_lesions: int, n_images: int) -> list[int]:
    """Return how many images each lesion has: one, and some up to five."""
    counts = np.ones(n_lesions, int)
    while counts.sum() < n_images:
        # About one lesion in four is seen again, as in the archive; those take all further images.
        lesion = int(rng.integers(0, max(n_lesions // 4, 1)))
        if counts[lesion] < _MOST_IMAGES_OF_A_LESION:
            counts[lesion] += 1
    return [int(count) for count in counts]


def _draw_patients(rng: np.random.Generator, diagnoses: list[Diagnosis]) -> list[Patient]:
    """Return the patient of each lesion; about every fourth lesion belongs to the one before it."""
    patients: list[Patient] = []
    for number, diagnosis in enumerate(diagnoses):
        if patients and rng.random() < 0.25:
            patients.append(patients[-1])
            continue
        age, men = _AGE_AND_MEN[diagnosis]
        years = int(np.clip(5 * round(rng.normal(age, 14) / 5), 5, 85))  # the archive rounds to 5 and caps at 85
        sex = Sex.MALE if rng.random() < men else Sex.FEMALE
        identifier = f"IP_{9_000_000 + number}" if rng.random() < 0.6 else None
        patients.append(Patient(identifier, years, sex, draw_tone(rng), int(rng.integers(0, len(_LICENCES)))))
    return patients


def _draw_lesion(
    rng: np.random.Generator, number: int, diagnosis: Diagnosis, patient: Patient, n_images: int
) -> Lesion:
    weights = np.array(_SITE_WEIGHTS[diagnosis], float)
    site = list(Site)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    # Only a lesion with a single image may lack its id: otherwise nothing would say which images belong together.
    known = n_images > 1 or rng.random() > 0.15
    return Lesion(number, f"IL_{9_000_000 + number}" if known else None, diagnosis, site, patient, n_images)
