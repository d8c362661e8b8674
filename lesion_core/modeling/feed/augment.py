"""What the training images go through: one affine warp in space, overlays drawn over it, one affine map in colour.

Every random number comes in as an argument, so an image's augmentation is a pure function of its pixels
and of its row of draws: repeatable, testable, and the same in a resumed training.

The work is done by Pillow, one image at a time: its warp and its colour map take whole bytes and let other threads
run meanwhile, where TensorFlow's colours go through floats. docs/augmentation.md compares the feed with its peers.
"""

import math

import numpy as np
from PIL import Image

from lesion_core.modeling.feed.mixing import N_MIXING_DRAWS
from lesion_core.modeling.feed.overlays import N_OVERLAY_DRAWS, add_overlays, has_overlays
from lesion_core.recipes.sections import Augmentation

# One uniform number in [0, 1) for each of: flip x, flip y, angle, zoom, shift x, shift y,
# brightness, contrast, hue, saturation; then the overlays', then the mixing's.
_N_OWN = 10
N_DRAWS = _N_OWN + N_OVERLAY_DRAWS + N_MIXING_DRAWS
OVERLAY_DRAWS = slice(_N_OWN, _N_OWN + N_OVERLAY_DRAWS)
MIXING_DRAWS = slice(_N_OWN + N_OVERLAY_DRAWS, N_DRAWS)

# NTSC's luma and chroma axes (YIQ): hue turns the chroma plane, saturation scales it, luma stays.
_RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)


def draw(n_images: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the random numbers of one epoch: float32 in [0, 1), (n_images, ``N_DRAWS``), by position."""
    return np.random.default_rng((seed, epoch, 1)).random((n_images, N_DRAWS), dtype=np.float32)


def augment(images: np.ndarray, draws: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """Return the images as another camera, hand and lamp would have taken them, on skin less well prepared.

    Args:
        images: uint8 (n, s, s, 3), RGB.
        draws: float32 (n, ``N_DRAWS``) in [0, 1).
        augmentation: Strengths; what is 0 or off is not done at all.

    Returns:
        uint8 (n, s, s, 3).
    """
    if not (_moves(augmentation) or _colours(augmentation) or has_overlays(augmentation)):
        return images
    varied = np.empty_like(images)
    for place, (image, row) in enumerate(zip(images, draws, strict=True)):
        varied[place] = _augment_one(image, row, augmentation)
    return varied


def _augment_one(image: np.ndarray, draws: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    augmented = _warp(image, draws, augmentation) if _moves(augmentation) else Image.fromarray(image)
    if has_overlays(augmentation):
        augmented = add_overlays(augmented, draws[OVERLAY_DRAWS], augmentation)
    if _colours(augmentation):
        augmented = _recolour(augmented, draws, augmentation)
    return np.asarray(augmented)


def _moves(augmentation: Augmentation) -> bool:
    a = augmentation
    return bool(a.flips or a.rotation_degrees or a.zoom or a.shift)


def _colours(augmentation: Augmentation) -> bool:
    a = augmentation
    return bool(a.brightness or a.contrast or a.hue or a.saturation)


def _around(draw: float, strength: float) -> float:
    """Map [0, 1) to [-strength, strength)."""
    return (float(draw) * 2.0 - 1.0) * strength


def _warp(image: np.ndarray, draws: np.ndarray, augmentation: Augmentation) -> Image.Image:
    """Flip, turn, scale and move in one resampling, so that the image is blurred once, not four times.

    The border is filled by reflection: a black one would teach that dark corners mean nothing, or something.
    """
    if augmentation.flips:  # the lesion has no up or left; the dermatoscope is put on at any angle
        image = image[:: -1 if draws[1] < 0.5 else 1, :: -1 if draws[0] < 0.5 else 1]
    size = image.shape[0]
    angle = _around(draws[2], math.radians(augmentation.rotation_degrees))
    scale = 1.0 / (1.0 + _around(draws[3], augmentation.zoom))  # distance and magnification
    # The operation wants the map from output to input pixels, about the middle of the image.
    a, b = math.cos(angle) * scale, math.sin(angle) * scale
    x = _around(draws[4], augmentation.shift) * size  # not always centred
    y = _around(draws[5], augmentation.shift) * size
    if not (angle or x or y) and scale == 1.0:
        return Image.fromarray(np.ascontiguousarray(image))
    # How far beyond the edge the corners reach; a mirrored border that wide, and no wider, is put round it.
    reach = (abs(a) + abs(b)) * size / 2.0 + max(abs(x), abs(y))
    border = max(0, math.ceil(reach - size / 2.0) + 1)
    source = np.pad(image, ((border, border), (border, border), (0, 0)), mode="symmetric")
    middle = size / 2.0
    rows = (a, -b, middle * (1 - a + b) + x + border, b, a, middle * (1 - a - b) + y + border)
    return Image.fromarray(source).transform(
        (size, size), Image.Transform.AFFINE, rows, resample=Image.Resampling.BILINEAR
    )


def _recolour(image: Image.Image, draws: np.ndarray, augmentation: Augmentation) -> Image.Image:
    """Change exposure, contrast, hue and saturation by one 3x3 matrix and one offset per image."""
    exposure = _around(draws[6], augmentation.brightness) * 255.0  # exposure time, flash
    contrast = 1.0 + _around(draws[7], augmentation.contrast)  # gel, polarisation
    angle = _around(draws[8], 2.0 * math.pi * augmentation.hue)  # colour of the lamp
    chroma = 1.0 + _around(draws[9], augmentation.saturation)  # the camera's own processing
    cos, sin = chroma * math.cos(angle), chroma * math.sin(angle)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    matrix = np.zeros((3, 4))
    matrix[:, :3] = _YIQ_TO_RGB @ turn @ _RGB_TO_YIQ * contrast
    matrix[:, 3] = exposure
    if augmentation.contrast:  # contrast turns about the image's own mean
        matrix[:, 3] += _mean_luma(image) * (1.0 - contrast)
    return image.convert("RGB", tuple(matrix.ravel().tolist()))


def _mean_luma(image: Image.Image) -> float:
    """Return the mean grey of an image, from every pixel, by its own histogram."""
    counts = np.array(image.histogram(), np.float64).reshape(3, 256)
    means = counts @ np.arange(256) / (image.width * image.height)
    return float(_RGB_TO_YIQ[0] @ means)
