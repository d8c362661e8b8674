"""The textures everything is drawn with: clouds, ridges, honeycomb, spots, branching lines."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_THREE_DIRECTIONS = (0.0, math.pi / 3, 2 * math.pi / 3)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cell_px: float, octaves: int = 3) -> np.ndarray:
    """Return fractal noise, float32 ``shape``, mean 0 and standard deviation 1.

    Args:
        rng: Source of the noise.
        shape: (h, w) in pixels.
        cell_px: Size of the largest structures; each further octave is half as large and half as strong.
        octaves: How many sizes are added.
    """
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cell = max(cell_px / 2**octave, 1.0)
        rows, columns = math.ceil(height / cell) + 3, math.ceil(width / cell) + 3
        grid = Image.fromarray(rng.standard_normal((rows, columns), np.float32))
        box = (1.0, 1.0, 1.0 + width / cell, 1.0 + height / cell)
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC, box=box)) / 2**octave
    total -= total.mean()
    return total / max(float(total.std()), 1e-6)


def ridges(field: np.ndarray, width: float) -> np.ndarray:
    """Return 0–1 lines along the zero crossings of a noise field; ``width`` in its standard deviations."""
    return np.exp(-np.square(field / np.float32(width)))


def honeycomb(rng: np.random.Generator, shape: tuple[int, int], pitch_px: float, disorder: float) -> np.ndarray:
    """Return a 0–1 net with holes ``pitch_px`` apart, bent out of order by ``disorder`` pitches."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x = x + disorder * pitch_px * clouds(rng, shape, pitch_px * 3, octaves=1)
    y = y + disorder * pitch_px * clouds(rng, shape, pitch_px * 3, octaves=1)
    wave = np.float32(4 * math.pi / (math.sqrt(3) * pitch_px))
    turn = rng.uniform(0, math.pi)
    total = np.zeros(shape, np.float32)
    for angle in _THREE_DIRECTIONS:
        total += np.cos(wave * (x * np.float32(math.cos(angle + turn)) + y * np.float32(math.sin(angle + turn))))
    return np.clip((np.float32(1.2) - total) / np.float32(2.7), 0, 1)


def spots(
    rng: np.random.Generator, where: np.ndarray, count: int, radius_px: tuple[float, float], blur_px: float
) -> np.ndarray:
    """Return float32 0–1: ``count`` roundish spots whose centres lie where the mask ``where`` is true.

    An empty mask gives an empty image.
    """
    layer = Image.new("L", (where.shape[1], where.shape[0]), 0)
    places = np.flatnonzero(where)
    if places.size and count > 0:
        draw = ImageDraw.Draw(layer)
        for place in rng.choice(places, count):
            y, x = divmod(int(place), where.shape[1])
            rx, ry = rng.uniform(*radius_px, 2)
            draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=int(rng.integers(150, 256)))
    return _as_share(layer, blur_px)


def branches(
    rng: np.random.Generator, where: np.ndarray, count: int, length_px: float, width_px: float, blur_px: float
) -> np.ndarray:
    """Return float32 0–1: ``count`` curved trunks that begin in ``where``, each with finer side branches."""
    layer = Image.new("L", (where.shape[1], where.shape[0]), 0)
    places = np.flatnonzero(where)
    draw = ImageDraw.Draw(layer)
    for place in rng.choice(places, count) if places.size else ():
        y, x = divmod(int(place), where.shape[1])
        _grow(draw, rng, (float(x), float(y)), rng.uniform(0, 2 * math.pi), length_px, width_px)
    return _as_share(layer, blur_px)


def _grow(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    start: tuple[float, float],
    heading: float,
    length: float,
    width: float,
) -> None:
    """Draw one vessel as a wandering line that forks until it is too short or too fine to see."""
    step, (x, y) = 4.0, start
    for _ in range(max(int(length / step), 1)):
        heading += rng.normal(0, 0.25)
        ahead = (x + step * math.cos(heading), y + step * math.sin(heading))
        draw.line(((x, y), ahead), fill=230, width=max(round(width), 1))
        x, y = ahead
    if length > 12:
        for side in (-1, 1):
            _grow(draw, rng, (x, y), heading + side * rng.uniform(0.3, 0.9), length * 0.6, width * 0.7)


def _as_share(layer: Image.Image, blur_px: float) -> np.ndarray:
    soft = layer.filter(ImageFilter.GaussianBlur(blur_px)) if blur_px > 0 else layer
    return np.asarray(soft, np.float32) / np.float32(255)
