"""What else gets into the image: hairs, a ruler, ink, gel bubbles, the dark rim of the tube.

None of them depends on the diagnosis, so none can be learned instead of it.
"""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_RNG = np.random.Generator


def add_hairs(rng: _RNG, image: np.ndarray) -> np.ndarray:
    """Draw up to forty hairs of one colour over a float32 (h, w, 3) image in 0–1."""
    height, width = image.shape[:2]
    layer = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(layer)
    heading, count = rng.uniform(0, math.pi), int(rng.integers(2, 30))
    for _ in range(count):
        draw.line(_hair(rng, width, height, heading + rng.normal(0, 0.5)), fill=int(rng.integers(120, 256)), width=1)
    if rng.random() < 0.2:
        layer = layer.filter(ImageFilter.MaxFilter(3))
    colour = (
        np.array([0.13, 0.09, 0.07], np.float32) if rng.random() < 0.75 else np.array([0.62, 0.5, 0.38], np.float32)
    )
    return _over(image, layer.filter(ImageFilter.GaussianBlur(0.6)), colour)


def _hair(rng: _RNG, width: int, height: int, heading: float) -> list[tuple[float, float]]:
    """Return the points of one bent hair."""
    length, bend = rng.uniform(0.2, 0.8) * width, rng.normal(0, 0.6)
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    points = [(x, y)]
    for _ in range(12):
        heading += bend / 12
        x, y = x + length / 12 * math.cos(heading), y + length / 12 * math.sin(heading)
        points.append((x, y))
    return points


def add_ruler(rng: _RNG, image: np.ndarray) -> np.ndarray:
    """Draw the millimetre marks of a dermatoscope's scale along the lower edge or the left one."""
    height, width = image.shape[:2]
    layer = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(layer)
    pitch, along = rng.uniform(6, 11), width if rng.random() < 0.6 else height
    for mark in range(int(along / pitch)):
        at, reach = (mark + 0.5) * pitch, 14 if mark % 5 == 0 else 8
        line = ((at, height), (at, height - reach)) if along == width else ((0, at), (reach, at))
        draw.line(line, fill=210, width=1)
    return _over(image, layer, np.array([0.1, 0.1, 0.12], np.float32))


def add_ink(rng: _RNG, image: np.ndarray) -> np.ndarray:
    """Draw a surgeon's violet pen mark near the rim."""
    height, width = image.shape[:2]
    layer = Image.new("L", (width, height), 0)
    start, radius = rng.uniform(0, 360), rng.uniform(0.85, 1.05) * height / 2
    box = (width / 2 - radius * 1.2, height / 2 - radius, width / 2 + radius * 1.2, height / 2 + radius)
    ImageDraw.Draw(layer).arc(box, start, start + rng.uniform(25, 90), fill=190, width=int(rng.integers(4, 10)))
    return _over(image, layer.filter(ImageFilter.GaussianBlur(1.5)), np.array([0.30, 0.16, 0.52], np.float32))


def add_bubbles(rng: _RNG, image: np.ndarray) -> np.ndarray:
    """Draw bubbles of the contact gel: bright rims that let the skin through."""
    height, width = image.shape[:2]
    layer = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(layer)
    for _ in range(int(rng.integers(2, 9))):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(2, 9)
        draw.ellipse((x - r, y - r, x + r, y + r), outline=int(rng.integers(60, 150)))
        draw.point((x - r / 3, y - r / 3), fill=230)
    return _over(image, layer.filter(ImageFilter.GaussianBlur(0.5)), np.array([1, 1, 1], np.float32))


def add_dark_rim(rng: _RNG, image: np.ndarray) -> np.ndarray:
    """Darken what lies outside the dermatoscope's round window."""
    height, width = image.shape[:2]
    y, x = np.ogrid[:height, :width]
    radius = rng.uniform(0.50, 0.60) * width
    away = np.hypot(x - width / 2 - rng.normal(0, 4), y - height / 2 - rng.normal(0, 4)).astype(np.float32)
    light = np.clip((np.float32(radius) - away) / np.float32(rng.uniform(3, 14)), 0, 1)
    return image * (np.float32(0.04) + np.float32(0.96) * light)[..., None]


def _over(image: np.ndarray, layer: Image.Image, colour: np.ndarray) -> np.ndarray:
    cover = (np.asarray(layer, np.float32) / np.float32(255))[..., None]
    return image * (1 - cover) + colour * cover
