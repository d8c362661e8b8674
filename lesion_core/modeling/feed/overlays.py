"""What else gets between lens and lesion: hairs, ink, a ruler, the tube's dark rim, something that hides a part.

None of it says anything of the diagnosis, but in a clinic's own images it may go with one by chance, and a network
learns such chance (Winkler et al. 2019, doi:10.1001/jamadermatol.2019.1735, on ink; Pewton & Yap 2022, CVPR
Workshops, on dark corners). Drawn at random over every class in training, it tells nothing any more.

An image's overlays are a function of its pixels and its row of draws. Of each kind, one number decides whether it
is drawn and one seeds how. Shapes are drawn ``_FINER`` times as large and reduced, so that their rims are smooth;
sizes are shares of the side, so that they look alike at every size.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from lesion_core.recipes.sections import Augmentation

# Two uniform numbers for each kind: whether, and which.
N_OVERLAY_DRAWS = 10

_FINER = 3
_SEEDS = 2**24  # as many as a float32 in [0, 1) can tell apart

_Points = list[tuple[float, float]]
_Artist = Callable[[Image.Image, np.random.Generator], Image.Image]


def has_overlays(augmentation: Augmentation) -> bool:
    """Whether any overlay is ever drawn."""
    return any(_chances(augmentation))


def add_overlays(image: Image.Image, draws: np.ndarray, augmentation: Augmentation) -> Image.Image:
    """Return the image with the overlays that its draws ask for, as they lie over one another in the clinic.

    Args:
        image: Square, RGB; it may be drawn upon.
        draws: float32 (``N_OVERLAY_DRAWS``,) in [0, 1).
        augmentation: The chance of each kind; 0 is never drawn.
    """
    for place, (artist, chance) in enumerate(zip(_ARTISTS, _chances(augmentation), strict=True)):
        if draws[2 * place] < chance:
            image = artist(image, np.random.default_rng(int(draws[2 * place + 1] * _SEEDS)))
    return image


def _chances(augmentation: Augmentation) -> tuple[float, ...]:
    a = augmentation
    return a.ink, a.rulers, a.hairs, a.dark_corners, a.cutout


def add_ink(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw a surgeon's pen marks about the lesion: strokes or dots, violet to blue, through which skin is seen."""
    side = image.width
    layer, pen = _canvas(side)
    strength = int(rng.integers(120, 215))
    radius, start = rng.uniform(0.36, 0.5), rng.uniform(0, 2 * math.pi)
    if rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 4))):
            sweep, wobble = rng.uniform(0.25, 0.8), rng.normal(0, 0.006, 9)
            angles = start + np.linspace(0, sweep, 9)
            points = _around_middle(radius + np.cumsum(wobble), angles, side)
            pen.line(points, fill=strength, width=_width(side, rng.uniform(0.018, 0.045)), joint="curve")
            start += sweep + rng.uniform(0.3, 1.5)
    else:
        for number in range(int(rng.integers(3, 8))):
            at = _around_middle(radius + rng.normal(0, 0.02, 1), np.array([start + 0.75 * number]), side)[0]
            _dot(pen, at, _FINER * side * rng.uniform(0.012, 0.03), strength)
    colour = (int(rng.integers(35, 95)), int(rng.integers(30, 70)), int(rng.integers(105, 170)))
    return _cover(image, layer, colour)


def add_ruler(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw a scale with ticks along an edge: the dermatoscope's own, or a paper strip laid beside the lesion."""
    side = image.width
    large = side * _FINER
    layer, pen = _canvas(side)
    pitch, reach = large * rng.uniform(0.035, 0.075), large * rng.uniform(0.03, 0.06)
    edge, slant = large * rng.uniform(0.0, 0.07), rng.uniform(-0.06, 0.06)
    quarter = int(rng.integers(4))
    if rng.random() < 0.25:  # paper
        paper, brush = _canvas(side)
        deep = edge + 2.2 * reach
        brush.polygon([(0, 0), (large, 0), (large, deep + slant * large), (0, deep)], fill=235)
        tone = int(rng.integers(195, 240))
        image = _cover(image, _turned(paper, quarter), (tone, tone, tone - 8))
    width = _width(side, rng.uniform(0.004, 0.009))
    for number in range(int(large / pitch) + 1):
        x = (number + 0.5) * pitch
        top, length = edge + slant * x, reach * (1.8 if number % 5 == 0 else 1.0)
        pen.line([(x, top), (x - slant * length, top + length)], fill=225, width=width)
    return _cover(image, _turned(layer, quarter), (24, 24, 28))


def add_hairs(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw hairs of one person: much the same heading and colour, bent, thinner to the tip."""
    side = image.width
    layer, pen = _canvas(side)
    heading, thickness = rng.uniform(0, 2 * math.pi), rng.uniform(0.004, 0.010)
    for _ in range(int(rng.integers(3, 22))):
        points = _hair(rng, side * _FINER, heading + rng.normal(0, 0.45))
        strength = int(rng.integers(110, 230))
        for first, share in ((0, 1.0), (5, 0.75), (9, 0.5)):
            pen.line(points[first : first + 6], fill=strength, width=_width(side, thickness * share))
    dark = rng.random() < 0.8
    colour = (58, 36, 28) if dark else (205, 180, 150)
    shade = int(rng.integers(-14, 25))
    return _cover(image, layer, (colour[0] + shade, colour[1] + shade, colour[2] + shade))


def _hair(rng: np.random.Generator, large: int, heading: float) -> _Points:
    length, bend = rng.uniform(0.25, 0.95) * large, rng.normal(0, 0.7)
    turns = heading + bend * np.linspace(0, 1, 14) + np.cumsum(rng.normal(0, 0.03, 14))
    start = rng.uniform(-0.2, 1.0, 2) * large
    x = start[0] + np.cumsum(np.cos(turns)) * length / 14
    y = start[1] + np.cumsum(np.sin(turns)) * length / 14
    return list(zip(x.tolist(), y.tolist(), strict=True))


def add_dark_corners(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Darken what lies outside the round window of the tube; a squashed frame makes the circle an ellipse."""
    side = image.width
    radius, aspect, soft = rng.uniform(0.5, 0.64), rng.uniform(1.0, 1.33), rng.uniform(0.01, 0.12)
    x, y = (np.arange(side, dtype=np.float32)[None] + 0.5) / side - 0.5 - rng.normal(0, 0.015, (2, 1))
    away = np.sqrt(x[None].astype(np.float32) ** 2 + (y[:, None].astype(np.float32) / np.float32(aspect)) ** 2)
    cover = np.clip((away - np.float32(radius)) / np.float32(soft) + np.float32(0.5), 0, 1) * np.float32(255)
    tone = int(rng.integers(0, 22))
    image.paste((tone, tone, tone), (0, 0), Image.fromarray(cover.astype(np.uint8)))
    return image


def add_cutout(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Hide a square (DeVries & Taylor 2017, arXiv:1708.04552), so that no one structure is the whole evidence."""
    side = image.width
    half = rng.uniform(0.1, 0.2) * side
    x, y = rng.uniform(0, side, 2)
    box = (round(x - half), round(y - half), round(x + half), round(y + half))
    ImageDraw.Draw(image).rectangle(box, fill=(128, 128, 128))
    return image


_ARTISTS: tuple[_Artist, ...] = (add_ink, add_ruler, add_hairs, add_dark_corners, add_cutout)


def _canvas(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    layer = Image.new("L", (side * _FINER, side * _FINER), 0)
    return layer, ImageDraw.Draw(layer)


def _cover(image: Image.Image, layer: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    image.paste(colour, (0, 0), layer.reduce(_FINER))
    return image


def _turned(layer: Image.Image, quarter: int) -> Image.Image:
    turns = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    turn = turns[quarter]
    return layer if turn is None else layer.transpose(turn)


def _around_middle(radius: np.ndarray, angles: np.ndarray, side: int) -> _Points:
    x = (0.5 + radius * np.cos(angles)) * side * _FINER
    y = (0.5 + radius * np.sin(angles)) * side * _FINER
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _dot(pen: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, strength: int) -> None:
    pen.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), fill=strength)


def _width(side: int, share: float) -> int:
    return max(1, round(side * _FINER * share))
