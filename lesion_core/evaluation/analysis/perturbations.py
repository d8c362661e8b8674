"""Changes of an image that say nothing of the diagnosis, each in up to three stated severities.

Artefacts (dark corners, ink, rulers, hairs) are those that networks are known to follow: Winkler et al. 2019
(doi:10.1001/jamadermatol.2019.1735) on ink, Pewton and Yap 2022 (CVPR Workshops) on dark corners, Bissoto et al. 2020
(arXiv:2004.11457) on all of them. The others are what cameras, files and hands do, after Hendrycks and Dietterich
2019 (arXiv:1903.12261) and Maron et al. 2021 (doi:10.1016/j.ejca.2020.11.020). Ink, rulers and hairs are drawn as for
synthetic images, not as the augmentation of training draws them.

What is drawn is a function of the image's id, the kind and the severity; a higher severity has all that a lower one
has, and more.
"""

import functools
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from lesion_core.errors import ConfigError
from lesion_core.synthetic.overlays import add_hairs, add_ink, add_ruler
from lesion_core.synthetic.sheet import SIDE_PX

_Artist = Callable[[np.random.Generator, np.ndarray], np.ndarray]
_Change = Callable[[np.ndarray, float, int], np.ndarray]  # pixels (s, s, 3), amount, seed of the image
_RIM_LIGHT = 0.04  # what is left of the light in a dark corner
_RIM_SOFT = 0.03  # width of its edge, as a share of the side
_TURNS = (0, 2, 1, 3)  # quarter turns of one layer after the other, so that rulers lie along different edges
_LAYERS_KEPT = 96  # of a batch of images: each severity draws the layers of the one before again


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One way to change an image.

    Attributes:
        name: For people.
        unit: What the amounts are, with ``{:g}`` for the number.
        amounts: Of severity 1, 2 and so on.
        change: Does it to one image.
        is_ordered: Whether a higher severity changes more.
    """

    name: str
    unit: str
    amounts: tuple[float, ...]
    change: _Change
    is_ordered: bool = True

    def in_words(self, severity: int) -> str:
        """Return a severity in its unit."""
        return self.unit.format(self.amounts[severity - 1])


def perturb(pixels: np.ndarray, ids: Sequence[str], name: str, severity: int) -> np.ndarray:
    """Return images with one perturbation, uint8 (n, s, s, 3); severity 0 is the images themselves.

    Args:
        pixels: uint8 (n, s, s, 3), RGB, as the model is shown them.
        ids: Of the images, n; the same id has the same ink, rulers and hairs.
        name: One of ``PERTURBATIONS``.
        severity: From 0 to the number of its amounts.

    Raises:
        ConfigError: There is no such perturbation or severity.
    """
    found = PERTURBATIONS.get(name)
    if found is None or not 0 <= severity <= len(found.amounts):
        raise ConfigError(
            f"expected one of {', '.join(PERTURBATIONS)} with a severity from 0 to "
            f"{len(found.amounts) if found else 3}, got {name!r} with {severity}"
        )
    if severity == 0 or not len(pixels):
        return pixels.copy()
    amount = found.amounts[severity - 1]
    changed = [
        found.change(image, amount, zlib.crc32(f"{name} {isic_id}".encode()))
        for image, isic_id in zip(pixels, ids, strict=True)
    ]
    return np.stack(changed).astype(np.uint8, copy=False)


def _rounded(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _drawn(artist: _Artist, image: np.ndarray, amount: float, seed: int) -> np.ndarray:
    """Return the image with ``amount`` layers of what ``artist`` draws, each of its own seed."""
    changed = image.astype(np.float32)
    for number in range(int(amount)):
        keep, add = (_resized(one, image.shape[0]).astype(np.float32) for one in _layer(artist, seed, number))
        changed = changed * (keep / np.float32(255)) + add
    return _rounded(changed)


@functools.lru_cache(maxsize=_LAYERS_KEPT)
def _layer(artist: _Artist, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a layer lets through and what it adds, uint8 (SIDE_PX, SIDE_PX, 3) each, 255 for all.

    It is drawn over black and over white at the side of synthetic images, for which its lines are made.
    """
    add, with_all = (
        artist(np.random.default_rng([seed, number]), np.full((SIDE_PX, SIDE_PX, 3), tone, np.float32))
        for tone in (0.0, 1.0)
    )
    n_turns = _TURNS[number % len(_TURNS)]
    keep, add = (np.rot90(_rounded(255 * one), n_turns) for one in (with_all - add, add))
    return keep, add


def _resized(image: np.ndarray, side: int, box: tuple[float, float, float, float] | None = None) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR, box=box))


def _dark_corners(image: np.ndarray, radius: float, seed: int) -> np.ndarray:
    side = image.shape[0]
    place = (np.arange(side) + 0.5) / side - 0.5
    away = np.hypot(place[None], place[:, None])
    light = np.clip((radius - away) / _RIM_SOFT, 0, 1)
    return _rounded(image * (_RIM_LIGHT + (1 - _RIM_LIGHT) * light)[..., None])


def _blurred(image: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    blur = ImageFilter.GaussianBlur(sigma * image.shape[0])
    return np.asarray(Image.fromarray(image).filter(blur))


def _as_jpeg(image: np.ndarray, quality: float, seed: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(quality), subsampling=2)
    with Image.open(buffer) as stored:
        return np.asarray(stored.convert("RGB"))


def _cast(image: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Make the image warmer, or of every second id cooler."""
    tilt = strength if seed % 2 else -strength
    return _rounded(image * np.array([1 + tilt, 1, 1 - tilt]))


def _lit(image: np.ndarray, factor: float, seed: int) -> np.ndarray:
    return _rounded(image * factor)


def _nearer(image: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Cut ``share`` of the side away, half of it at each edge, and enlarge the rest."""
    side = image.shape[0]
    edge = share * side / 2
    return _resized(image, side, box=(edge, edge, side - edge, side - edge))


def _farther(image: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Add ``share`` of the side, half of it at each edge, whose pixels are repeated, and reduce the whole."""
    edge = max(1, round(share * image.shape[0] / 2))
    return _resized(np.pad(image, ((edge, edge), (edge, edge), (0, 0)), mode="edge"), image.shape[0])


def _turned(image: np.ndarray, degrees: float, seed: int) -> np.ndarray:
    return np.rot90(image, int(degrees) // 90)


def _mirrored(image: np.ndarray, amount: float, seed: int) -> np.ndarray:
    return image[:, ::-1]


_EACH = (
    Perturbation("dark corners", "window radius {:g} of the side", (0.60, 0.54, 0.48), _dark_corners),
    Perturbation("ink", "pen marks: {:g}", (1, 2, 3), functools.partial(_drawn, add_ink)),
    Perturbation("ruler", "scales: {:g}", (1, 2, 3), functools.partial(_drawn, add_ruler)),
    Perturbation("hair", "layers of 2 to 29 hairs: {:g}", (1, 2, 3), functools.partial(_drawn, add_hairs)),
    Perturbation("blur", "Gaussian, sigma {:g} of the side", (0.005, 0.01, 0.02), _blurred),
    Perturbation("JPEG", "quality {:g}, chroma halved", (80, 40, 20), _as_jpeg),
    Perturbation("colour cast", "red and blue times 1 ± {:g}", (0.05, 0.10, 0.20), _cast),
    Perturbation("darker", "brightness times {:g}", (0.85, 0.7, 0.5), _lit),
    Perturbation("brighter", "brightness times {:g}", (1.15, 1.3, 1.5), _lit),
    Perturbation("zoom in", "{:g} of the side cut away", (0.05, 0.10, 0.20), _nearer),
    Perturbation("zoom out", "{:g} of the side added", (0.05, 0.10, 0.20), _farther),
    Perturbation("turn", "{:g} degrees", (90, 180, 270), _turned, is_ordered=False),
    Perturbation("mirror", "left and right", (1,), _mirrored, is_ordered=False),
)
PERTURBATIONS: Mapping[str, Perturbation] = {one.name: one for one in _EACH}
