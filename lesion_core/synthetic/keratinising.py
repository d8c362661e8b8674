"""Benign keratosis, actinic keratosis and squamous cell carcinoma: lesions that make scale or horn."""

import numpy as np

from lesion_core.synthetic.pigments import BLOOD, IVORY, KERATIN, MELANIN, PAPER_WHITE, STAGNANT_BLOOD
from lesion_core.synthetic.sheet import Sheet, inside, outline
from lesion_core.synthetic.textures import ridges, spots


def paint_benign_keratosis(sheet: Sheet) -> None:
    """Stuck on: sharp border, dull tan to grey-brown, fissures, white milia-like and dark plugs."""
    rng = sheet.rng
    distance = outline(rng, rng.uniform(0.10, 0.55), rng.uniform(1.0, 1.6))
    body = inside(distance + 0.03 * sheet.noise(8), rng.uniform(0.03, 0.35))
    amount = rng.uniform(0.2, 1.2)
    sheet.absorb(MELANIN, body * amount * (1 + 0.22 * sheet.noise(14, 2)))
    sheet.absorb(KERATIN, body * rng.uniform(0.2, 1.2))
    fissures = ridges(sheet.noise(rng.uniform(14, 26), 1), 0.22)
    sheet.absorb(MELANIN, body * fissures * rng.uniform(0.1, 0.8))
    plugs = spots(rng, distance < 0.85, int(rng.integers(0, 25)), (1.2, 3.5), 0.9)
    sheet.absorb(MELANIN, plugs * rng.uniform(0.4, 1.2))
    milia = spots(rng, distance < 0.9, int(rng.integers(0, 40)), (0.9, 2.4), 0.8)
    sheet.scatter(IVORY, milia * rng.uniform(0.15, 0.5))


def paint_actinic_keratosis(sheet: Sheet) -> None:
    """Rough redness without a border, a red net around pale follicles, thin white scale."""
    rng = sheet.rng
    distance = outline(rng, rng.uniform(0.4, 0.9), rng.uniform(1.0, 1.6))
    body = inside(distance, rng.uniform(0.6, 1.1), 1.1)
    sheet.absorb(BLOOD, body * rng.uniform(0.25, 0.9) * (1 + 0.35 * sheet.noise(22, 4)))
    sheet.absorb(BLOOD, body * ridges(sheet.noise(8, 2), 0.35) * rng.uniform(0.1, 0.5))
    if rng.random() < 0.35:  # pigmented variant
        sheet.absorb(MELANIN, body * np.clip(0.5 + 0.6 * sheet.noise(30), 0, 2) * rng.uniform(0.2, 0.6))
    follicles = spots(rng, distance < 1.1, int(rng.integers(20, 90)), (0.9, 2.0), 0.8)
    sheet.lighten(follicles * 0.6)
    sheet.scatter(IVORY, follicles * rng.uniform(0.02, 0.15))
    scale = body * np.clip(sheet.noise(26, 5) - 0.7, 0, 1)
    sheet.scatter(PAPER_WHITE, scale * rng.uniform(0.05, 0.35))


def paint_squamous(sheet: Sheet) -> None:
    """A horny, white-yellow middle on pink, with coiled vessels, white circles and blood spots."""
    rng = sheet.rng
    distance = outline(rng, rng.uniform(0.25, 0.7), rng.uniform(1.0, 1.5))
    body = inside(distance, rng.uniform(0.25, 0.6))
    sheet.absorb(BLOOD, body * rng.uniform(0.35, 1.1) * (1 + 0.3 * sheet.noise(24, 4)))
    coils = spots(rng, (distance > 0.5) & (distance < 1.05), int(rng.integers(20, 70)), (0.8, 1.9), 0.7)
    sheet.absorb(BLOOD, coils * rng.uniform(0.5, 1.3))
    horn = inside(distance + 0.14 * sheet.noise(30, 4), 0.35, rng.uniform(0.35, 0.65))
    sheet.absorb(KERATIN, horn * rng.uniform(0.2, 1.2))
    sheet.scatter(IVORY, horn * np.clip(rng.uniform(0.10, 0.32) + 0.10 * sheet.noise(18, 5), 0, 0.6))
    clots = spots(rng, distance < 0.7, int(rng.integers(2, 14)), (1.5, 6.0), 1.2)
    sheet.absorb(STAGNANT_BLOOD, clots * rng.uniform(0.8, 1.8))
    if rng.random() < 0.25:
        sheet.absorb(MELANIN, body * np.clip(sheet.noise(30), 0, 2) * 0.5)
