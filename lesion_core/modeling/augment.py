"""What the training images go through: one affine warp in space, one affine map in colour.

Every random number comes in as an argument, so a picture's augmentation is a pure function of its pixels
and of its row of draws: repeatable, testable, and the same in a resumed training.
"""

import math

import numpy as np
import tensorflow as tf

from lesion_core.modeling.sections import Augmentation

# One uniform number in [0, 1) for each of: flip x, flip y, angle, zoom, shift x, shift y,
# brightness, contrast, hue, saturation.
N_DRAWS = 10

# NTSC's luma and chroma axes (YIQ): hue turns the chroma plane, saturation scales it, luma stays.
_RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ).astype(np.float32)


def draw(n_images: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the random numbers of one epoch: float32 in [0, 1), (n_images, ``N_DRAWS``), by position."""
    return np.random.default_rng((seed, epoch, 1)).random((n_images, N_DRAWS), dtype=np.float32)


def augment(images: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Return the images as another camera, hand and lamp would have taken them.

    Args:
        images: uint8 (n, s, s, 3), RGB.
        draws: float32 (n, ``N_DRAWS``) in [0, 1).
        augmentation: Strengths; what is 0 or off is left out of the graph.

    Returns:
        uint8 (n, s, s, 3).
    """
    if _moves(augmentation):
        images = _warp(images, draws, augmentation)
    if _colours(augmentation):
        images = _recolour(images, draws, augmentation)
    return images


def _moves(augmentation: Augmentation) -> bool:
    a = augmentation
    return bool(a.flips or a.rotation_degrees or a.zoom or a.shift)


def _colours(augmentation: Augmentation) -> bool:
    a = augmentation
    return bool(a.brightness or a.contrast or a.hue or a.saturation)


def _around(draws: tf.Tensor, strength: float) -> tf.Tensor:
    """Map [0, 1) to [-strength, strength)."""
    return (draws * 2.0 - 1.0) * strength


def _warp(images: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Flip, turn, scale and move in one resampling, so that the picture is blurred once, not four times.

    The border is filled by reflection: a black one would teach that dark corners mean nothing, or something.
    """
    size = tf.cast(tf.shape(images)[1], tf.float32)
    # The lesion has no up or left; the dermatoscope is put on at any angle.
    mirror_x = tf.where(draws[:, 0] < 0.5, -1.0, 1.0) if augmentation.flips else tf.ones_like(draws[:, 0])
    mirror_y = tf.where(draws[:, 1] < 0.5, -1.0, 1.0) if augmentation.flips else tf.ones_like(draws[:, 1])
    angle = _around(draws[:, 2], math.radians(augmentation.rotation_degrees))
    scale = 1.0 / (1.0 + _around(draws[:, 3], augmentation.zoom))  # distance and magnification
    # The operation wants the map from output to input pixels, about the middle of the picture.
    a, b = tf.cos(angle) * scale * mirror_x, -tf.sin(angle) * scale * mirror_y
    c, d = tf.sin(angle) * scale * mirror_x, tf.cos(angle) * scale * mirror_y
    middle = (size - 1.0) / 2.0
    x = middle * (1.0 - a - b) + _around(draws[:, 4], augmentation.shift) * size  # not always centred
    y = middle * (1.0 - c - d) + _around(draws[:, 5], augmentation.shift) * size
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, x, c, d, y, zero, zero], axis=1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _recolour(images: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Change exposure, contrast, hue and saturation by one 3x3 matrix and one offset per image."""
    exposure = _around(draws[:, 6], augmentation.brightness) * 255.0  # exposure time, flash
    contrast = 1.0 + _around(draws[:, 7], augmentation.contrast)  # gel, polarisation
    angle = _around(draws[:, 8], 2.0 * math.pi * augmentation.hue)  # colour of the lamp
    chroma = 1.0 + _around(draws[:, 9], augmentation.saturation)  # the camera's own processing
    zero, one = tf.zeros_like(angle), tf.ones_like(angle)
    turn = tf.stack(
        [
            tf.stack([one, zero, zero], axis=1),
            tf.stack([zero, chroma * tf.cos(angle), -chroma * tf.sin(angle)], axis=1),
            tf.stack([zero, chroma * tf.sin(angle), chroma * tf.cos(angle)], axis=1),
        ],
        axis=1,
    )
    matrix = tf.einsum("ij,njk,kl->nil", _YIQ_TO_RGB, turn, _RGB_TO_YIQ) * contrast[:, None, None]
    shape = tf.shape(images)
    pixels = tf.cast(tf.reshape(images, (shape[0], -1, 3)), tf.float32)
    grey = tf.tensordot(tf.reduce_mean(pixels, axis=1), tf.constant(_RGB_TO_YIQ[0]), axes=1)
    offset = grey * (1.0 - contrast) + exposure  # contrast turns about the picture's own mean
    pixels = tf.matmul(pixels, matrix, transpose_b=True) + offset[:, None, None]
    return tf.reshape(tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), tf.uint8), shape)
