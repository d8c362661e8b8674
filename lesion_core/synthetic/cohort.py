"""Who the images are of: patients, lesions and images, with metadata that leans on the diagnosis."""

import math
from dataclasses import dataclass

import numpy as np

from lesion_core.labels import CLASS_ORDER, Diagnosis, Sex, Site
from lesion_core.synthetic.profiles import PROFILES
from lesion_core.synthetic.skin import SkinTone, draw_tone
from lesion_core.types import Licence

_IMAGES_PER_LESION = 1.35
_MOST_IMAGES_OF_A_LESION = 5
_LICENCES: tuple[Licence, ...] = ("CC-0", "CC-BY", "CC-BY-NC")


@dataclass(frozen=True, slots=True)
class Patient:
    """One invented person; an ``identifier`` of ``None`` is one that the archive does not have."""

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
    exact = {item: max(PROFILES[item].share * n_lesions, 1.0) for item in CLASS_ORDER}
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
        profile = PROFILES[diagnosis]
        # The archive rounds to 5 and caps at 85.
        years = int(np.clip(5 * round(rng.normal(profile.age_years, 14) / 5), 5, 85))
        sex = Sex.MALE if rng.random() < profile.men else Sex.FEMALE
        identifier = f"IP_{9_000_000 + number}" if rng.random() < 0.6 else None
        patients.append(Patient(identifier, years, sex, draw_tone(rng), int(rng.integers(0, len(_LICENCES)))))
    return patients


def _draw_lesion(
    rng: np.random.Generator, number: int, diagnosis: Diagnosis, patient: Patient, n_images: int
) -> Lesion:
    weights = np.array(PROFILES[diagnosis].site_weights, float)
    site = list(Site)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    # Only a lesion with a single image may lack its id: otherwise nothing would say which images belong together.
    known = n_images > 1 or rng.random() > 0.15
    return Lesion(number, f"IL_{9_000_000 + number}" if known else None, diagnosis, site, patient, n_images)
