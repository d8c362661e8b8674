"""Basal cell carcinoma, dermatofibroma and vascular lesions: what grows from below."""

import numpy as np

from lesion_core.synthetic.pigments import BLOOD, DEEP_MELANIN, MELANIN, PEARL, SERUM, STAGNANT_BLOOD
from lesion_core.synthetic.sheet import SHAPE, Sheet, inside, outline
from lesion_core.synthetic.textures import branches, honeycomb, spots


def paint_basal_cell(sheet: Sheet) -> None:
    """Shiny pink, sharp branching vessels, blue-grey nests, now and then a crusted sore."""
    rng = sheet.rng
    distance = outline(rng, rng.uniform(0.15, 0.55), rng.uniform(1.0, 1.5))
    body = inside(distance, rng.uniform(0.2, 0.5))
    sheet.absorb(BLOOD, body * rng.uniform(0.15, 0.8) * (1 + 0.25 * sheet.noise(35, 4)))
    nests = spots(rng, distance < 0.9, int(rng.integers(0, 12)), (2.0, 11.0), 2.5)
    sheet.absorb(DEEP_MELANIN, nests * (1 + 0.3 * sheet.noise(10)) * rng.uniform(0.3, 1.7))
    if rng.random() < 0.3:
        sheet.absorb(MELANIN, spots(rng, distance < 0.95, int(rng.integers(5, 30)), (1.5, 4.0), 1.0) * 1.2)
    sheet.scatter(PEARL, body * np.clip(0.06 + 0.05 * sheet.noise(25), 0, 0.3))
    vessels = branches(rng, distance < 1.0, int(rng.integers(1, 5)), rng.uniform(25, 50), rng.uniform(1.2, 2.8), 0.9)
    sheet.absorb(BLOOD, vessels * rng.uniform(0.4, 1.3))
    if rng.random() < 0.4:
        sore = inside(distance + 0.2 * sheet.noise(20), 0.12, rng.uniform(0.15, 0.45))
        sheet.absorb(SERUM, sore * rng.uniform(0.2, 0.8))
        sheet.absorb(STAGNANT_BLOOD, sore * np.clip(0.6 + 0.5 * sheet.noise(12), 0, 2) * 0.8)


def paint_dermatofibroma(sheet: Sheet) -> None:
    """A scar-white centre inside a delicate, pale brown ring that fades into the skin."""
    rng = sheet.rng
    distance = outline(rng, rng.uniform(0.05, 0.25), rng.uniform(1.0, 1.35))
    disc = inside(distance, rng.uniform(0.4, 0.8), rng.uniform(0.6, 0.95))
    middle = inside(distance + 0.05 * sheet.noise(16), rng.uniform(0.25, 0.45), rng.uniform(0.2, 0.45))
    ring = disc * (1 - middle)
    net = honeycomb(rng, SHAPE, rng.uniform(6, 9), 0.35)
    sheet.absorb(MELANIN, ring * rng.uniform(0.2, 0.8) * (0.8 + 0.35 * net + 0.15 * sheet.noise(25, 4)))
    sheet.absorb(BLOOD, disc * rng.uniform(0.05, 0.6))
    sheet.lighten(middle * rng.uniform(0.3, 0.8))
    sheet.scatter(PEARL, middle * np.clip(rng.uniform(0.02, 0.18) + 0.05 * sheet.noise(20, 4), 0, 0.5))


def paint_vascular(sheet: Sheet) -> None:
    """Red to purple lakes, round and sharp, some clotted black, divided by pale septa."""
    rng = sheet.rng
    distance = outline(rng, rng.uniform(0.10, 0.45), rng.uniform(1.0, 1.6))
    body = inside(distance + 0.04 * sheet.noise(14), rng.uniform(0.08, 0.35))
    purple = rng.random()
    blood = (1 - purple) * BLOOD * 1.3 + purple * STAGNANT_BLOOD
    sheet.absorb(blood, body * rng.uniform(0.4, 1.1))
    lakes = spots(rng, distance < 0.85, int(rng.integers(8, 32)), (5.0, 16.0), 1.6)
    sheet.absorb(blood, lakes * (1 + 0.2 * sheet.noise(20, 4)) * rng.uniform(0.3, 1.2))
    if rng.random() < 0.35:
        clots = spots(rng, distance < 0.7, int(rng.integers(1, 6)), (6.0, 16.0), 1.2)
        sheet.absorb(STAGNANT_BLOOD, clots * 1.1)
        sheet.absorb(DEEP_MELANIN, clots * rng.uniform(0.5, 1.4))
    sheet.scatter(PEARL, body * np.clip(0.12 * sheet.noise(14), 0, 0.25))
