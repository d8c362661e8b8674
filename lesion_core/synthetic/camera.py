"""One image of one lesion: where the camera stood, what light there was, what got in the way."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lesion_core.synthetic import overlays as overlays
from lesion_core.synthetic.sheet import SIDE_PX, LesionArt
from lesion_core.synthetic.skin import SkinTone, draw_skin

WIDTH_PX, HEIGHT_PX = 256, 192


@dataclass(frozen=True, slots=True)
class Camera:
    """What one clinic's equipment does to every image it takes."""

    cast: tuple[float, float, float]  # white balance, a factor on R, G, B
    dark_rim: float  # how often the tube's rim is seen
    ruler: float  # how often the scale is seen
    jpeg_quality: int


def photograph(art: LesionArt, tone: SkinTone, camera: Camera, rng: np.random.Generator) -> bytes:
    """Return the JPEG of one view of a lesion; equal arguments and ``rng`` states give equal bytes."""
    passed, scattered = _view(art, rng)
    image = draw_skin(rng, tone, (HEIGHT_PX, WIDTH_PX)) * passed
    image = image * (1 - scattered * np.float32(0.3)) + scattered
    image = _with_overlays(image, camera, rng) * _light(rng, camera)
    image += np.float32(0.008) * rng.standard_normal(image.shape, np.float32)
    buffer = io.BytesIO()
    taken = Image.fromarray((np.clip(image, 0, 1) * np.float32(255)).astype(np.uint8))
    taken.save(buffer, format="JPEG", quality=camera.jpeg_quality)
    return buffer.getvalue()


def _view(art: LesionArt, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return what the lesion lets through and what it adds, float32 (h, w, 3), from a random stand."""
    zoom, turn = rng.uniform(0.65, 1.30), rng.uniform(0, 2 * math.pi)
    mirror = rng.choice([-1.0, 1.0])  # the same lesion, seen in images that were flipped on import
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    dx, dy = rng.normal(0, 12, 2)
    x0, y0 = WIDTH_PX / 2 + dx, HEIGHT_PX / 2 + dy
    matrix = (
        cos * mirror, -sin, SIDE_PX / 2 - cos * mirror * x0 + sin * y0,
        sin * mirror, cos, SIDE_PX / 2 - sin * mirror * x0 - cos * y0,
    )  # fmt: skip
    return _transformed(art.passed, matrix, 255), _transformed(art.scattered, matrix, 0)


def _transformed(layer: np.ndarray, matrix: tuple[float, ...], fill: int) -> np.ndarray:
    view = Image.fromarray(layer).transform(
        (WIDTH_PX, HEIGHT_PX),
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
        fillcolor=(fill, fill, fill),
    )
    return np.asarray(view, np.float32) / np.float32(255)


def _light(rng: np.random.Generator, camera: Camera) -> np.ndarray:
    """Return the lamp's brightness and colour over the image, float32 (h, w, 3) around 1."""
    y, x = np.mgrid[-1 : 1 : HEIGHT_PX * 1j, -1 : 1 : WIDTH_PX * 1j].astype(np.float32)
    tilt_x, tilt_y = rng.normal(0, 0.05, 2)
    falloff = rng.uniform(0.0, 0.14) * (x * x + y * y)
    level = rng.uniform(0.85, 1.06) * (1 + tilt_x * x + tilt_y * y - falloff)
    colour = np.array(camera.cast, np.float32) * rng.normal(1, 0.02, 3).astype(np.float32)
    return (level[..., None] * colour).astype(np.float32)


def _with_overlays(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    chances: tuple[tuple[float, Callable[[np.random.Generator, np.ndarray], np.ndarray]], ...] = (
        (0.04, overlays.add_ink),
        (0.35, overlays.add_hairs),
        (0.15, overlays.add_bubbles),
        (camera.ruler, overlays.add_ruler),
        (camera.dark_rim, overlays.add_dark_rim),
    )
    for chance, add in chances:
        if rng.random() < chance:
            image = add(rng, image)
    return image
