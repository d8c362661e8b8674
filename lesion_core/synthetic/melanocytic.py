"""Nevus and melanoma."""

import numpy as np

from lesion_core.synthetic.pigments import BLOOD, BLUE_WHITE, DEEP_MELANIN, MELANIN, PEARL
from lesion_core.synthetic.sheet import SHAPE, Sheet, inside, outline
from lesion_core.synthetic.textures import honeycomb, spots


def paint_nevus(sheet: Sheet) -> None:
    """Symmetric, one or two browns, regular net or globules, border even all round."""
    rng = sheet.rng
    distance = outline(rng, rng.uniform(0.05, 0.55), rng.uniform(1.0, 1.5))
    body = inside(distance + 0.04 * sheet.noise(12), rng.uniform(0.12, 0.7))
    amount = rng.uniform(0.3, 1.6)
    centre = rng.uniform(-0.3, 0.9) * inside(distance, 0.5, 0.45)  # lighter or darker, but central
    sheet.absorb(MELANIN, body * amount * (1 + centre + rng.uniform(0.08, 0.35) * sheet.noise(40)))
    if rng.random() < 0.65:
        net = honeycomb(rng, SHAPE, rng.uniform(5.5, 8), 0.4)
        patchy = np.clip(0.6 + 0.5 * sheet.noise(45, 2), 0, 1.5)  # nowhere is a net drawn with a ruler
        sheet.absorb(MELANIN, body * net * patchy * rng.uniform(0.15, 0.6) * amount)
    else:
        globules = spots(rng, distance < 0.9, int(rng.integers(20, 90)), (1.5, 3.5), 0.8)
        sheet.absorb(MELANIN, globules * amount * rng.uniform(0.4, 0.9))
    sheet.absorb(BLOOD, body * rng.uniform(0.0, 0.5))


def paint_melanoma(sheet: Sheet) -> None:
    """Asymmetric, several colours, irregular dots and streaks, blue-white veil, ragged border."""
    rng = sheet.rng
    malice = float(rng.beta(1.5, 1.3))  # an early melanoma shows little
    distance = outline(rng, 0.2 + 0.65 * malice, rng.uniform(1.0, 1.7))
    body = inside(distance + 0.06 * sheet.noise(10), rng.uniform(0.08, 0.6))
    amount = rng.uniform(0.4, 1.6)
    sheet.absorb(MELANIN, body * amount * (1 + 0.45 * malice * sheet.noise(60, 2)))
    _add_dark_patches(sheet, distance, malice)
    net = honeycomb(rng, SHAPE, rng.uniform(6, 9), 0.6)
    sheet.absorb(MELANIN, body * net * np.clip(sheet.noise(70, 1), 0, 1.5) * rng.uniform(0.2, 0.8))
    rim = (distance > 0.75) & (distance < 1.12)
    sheet.absorb(MELANIN, spots(rng, rim, int(5 + 40 * malice), (1.0, 3.2), 1.0) * rng.uniform(0.3, 1.1))
    _add_veil_and_regression(sheet, body, malice)


def _add_dark_patches(sheet: Sheet, distance: np.ndarray, malice: float) -> None:
    """Near-black and red areas off the centre: the asymmetry of colour."""
    dark = inside(distance, 0.2, 0.95) * np.clip(sheet.noise(75, 3) - 0.2, 0, 1.3)
    sheet.absorb(MELANIN, dark * (0.2 + 2.0 * malice))
    red = inside(distance, 0.3, 0.95) * np.clip(sheet.noise(80, 2) - 0.5, 0, 1)
    sheet.absorb(BLOOD, red * 1.2 * malice)


def _add_veil_and_regression(sheet: Sheet, body: np.ndarray, malice: float) -> None:
    rng = sheet.rng
    if rng.random() < 0.25 + 0.5 * malice:
        veil = body * np.clip(sheet.noise(70, 2) - 0.3, 0, 1)
        sheet.absorb(DEEP_MELANIN, veil * rng.uniform(0.6, 1.4))
        sheet.scatter(BLUE_WHITE, np.minimum(veil, 1) * 0.16)
    if rng.random() < 0.4 * malice:
        scar = body * np.clip(sheet.noise(60, 2) - 0.7, 0, 1)
        sheet.lighten(scar * 0.8)
        sheet.scatter(PEARL, scar * 0.08)
