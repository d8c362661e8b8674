"""The square sheet a lesion is drawn on before a camera looks at it."""

from dataclasses import dataclass, field

import numpy as np

from lesion_core.synthetic.textures import clouds

SIDE_PX = 240
SHAPE = (SIDE_PX, SIDE_PX)
_HALF = SIDE_PX / 2
_BORDER = 0.58  # mean border of a lesion, as a share of half the sheet: leaves room for a halo
_N_ANGLES = 512
_Y, _X = (np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32) + np.float32(0.5 - _HALF)) / np.float32(_HALF)
# Nothing may end in a straight line at the edge of the sheet.
_FADE = np.clip((1 - np.hypot(_X, _Y)) / np.float32(0.15), 0, 1)[..., None]


@dataclass(frozen=True, slots=True)
class LesionArt:
    """What a lesion does to light; both uint8 (SIDE_PX, SIDE_PX, 3).

    ``passed`` is the share of the skin's light that comes through its pigments (255 = all of it);
    ``scattered`` is the light that scale, horn or fibrosis adds (0 = none).
    """

    passed: np.ndarray
    scattered: np.ndarray


@dataclass(slots=True)
class Sheet:
    """Pigment densities and scattered light, added up layer by layer; arrays are float32."""

    rng: np.random.Generator
    density: np.ndarray = field(default_factory=lambda: np.zeros((*SHAPE, 3), np.float32))
    scattered: np.ndarray = field(default_factory=lambda: np.zeros((*SHAPE, 3), np.float32))

    def absorb(self, pigment: np.ndarray, amount: np.ndarray) -> None:
        """Add ``amount`` (SHAPE, ≥ 0) of a pigment."""
        self.density += np.maximum(amount, 0)[..., None] * pigment

    def scatter(self, colour: np.ndarray, amount: np.ndarray) -> None:
        """Add light of a colour; ``amount`` 0–1 (SHAPE). It covers the pigment below it."""
        cover = np.clip(amount, 0, 1)[..., None]
        self.density *= 1 - np.float32(0.8) * cover
        self.scattered += cover * colour

    def lighten(self, amount: np.ndarray) -> None:
        """Take away a share ``amount`` (0–1) of the pigment there: regression, scar, moth-eaten border."""
        self.density *= (1 - np.clip(amount, 0, 1))[..., None]

    def noise(self, cell_px: float, octaves: int = 3) -> np.ndarray:
        """Return clouds over the sheet, mean 0, standard deviation 1."""
        return clouds(self.rng, SHAPE, cell_px, octaves)

    def finish(self) -> LesionArt:
        """Return the sheet as two 8-bit images."""
        passed = np.exp(-self.density * _FADE) * np.float32(255)
        return LesionArt(passed.astype(np.uint8), np.clip(self.scattered * _FADE * 255, 0, 255).astype(np.uint8))


def outline(rng: np.random.Generator, irregularity: float, elongation: float) -> np.ndarray:
    """Return, per pixel, the distance from the centre as a share of the border's in that direction.

    Float32 SHAPE: below 1 inside, 1 on the border. ``irregularity`` 0 gives an ellipse, 1 a ragged coast;
    ``elongation`` ≥ 1 is the ratio of its axes.
    """
    angle = np.linspace(0, 2 * np.pi, _N_ANGLES, endpoint=False, dtype=np.float32)
    border = np.ones(_N_ANGLES, np.float32)
    for wave in range(2, 10):
        strength = irregularity * 0.45 / wave * rng.standard_normal()
        border += np.float32(strength) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi), dtype=np.float32)
    border = np.clip(border, 0.45, 1.5)
    stretch = np.float32(np.sqrt(elongation))
    x, y = _X / stretch, _Y * stretch
    turn = ((np.arctan2(y, x) / np.float32(2 * np.pi)) % 1 * _N_ANGLES).astype(np.intp) % _N_ANGLES
    distance = np.hypot(x, y) / (np.float32(_BORDER) * border[turn])
    return distance + np.float32(0.10 * irregularity) * clouds(rng, SHAPE, 24)


def inside(distance: np.ndarray, softness: float, border: float = 1.0) -> np.ndarray:
    """Return 0–1 (float32): 1 within ``border``, falling to 0 over about ``softness`` border lengths."""
    return 1 / (1 + np.exp(np.clip((distance - np.float32(border)) / np.float32(softness / 4), -30, 30)))
