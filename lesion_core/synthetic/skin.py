"""Healthy skin: its tone, its furrows, its mottling."""

from dataclasses import dataclass

import numpy as np

from lesion_core.synthetic.pigments import BLOOD, MELANIN
from lesion_core.synthetic.textures import clouds, ridges

_WHITE = np.array([0.97, 0.92, 0.89], np.float32)  # skin without pigment, under the dermatoscope's lamp


@dataclass(frozen=True, slots=True)
class SkinTone:
    """Amounts of the two pigments that make the colour of skin."""

    melanin: float  # about 0.03 (very fair) to 1.2 (very dark)
    blood: float  # about 0.05 (pale) to 0.6 (flushed)


def draw_tone(rng: np.random.Generator) -> SkinTone:
    """Draw a person's tone: mostly fair, as in the public archives, with a tail of darker skin."""
    melanin = rng.uniform(0.03, 0.28) if rng.random() < 0.8 else rng.uniform(0.3, 1.1)
    return SkinTone(melanin=float(melanin), blood=float(rng.uniform(0.05, 0.36)))


def draw_skin(rng: np.random.Generator, tone: SkinTone, shape: tuple[int, int]) -> np.ndarray:
    """Return a patch of skin, float32 (h, w, 3) in 0–1."""
    melanin = tone.melanin * (1 + 0.10 * clouds(rng, shape, 50, 2) + 0.05 * clouds(rng, shape, 3, 1))
    blood = tone.blood * (1 + 0.25 * clouds(rng, shape, 40, 4))
    furrows = ridges(clouds(rng, shape, rng.uniform(4, 7), 1), 0.3)
    density = np.maximum(melanin, 0)[..., None] * MELANIN + np.maximum(blood, 0)[..., None] * BLOOD
    density += (furrows * np.float32(rng.uniform(0.0, 0.05)))[..., None]
    return _WHITE * np.exp(-density)
