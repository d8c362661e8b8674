"""The image that all files of the decoder's table show, and what its samples mean in other colour spaces."""

import numpy as np

from tests.faults.files.profiles import SRGB, Chromaticities, to_d50

SIZE = (64, 48)


def colours() -> np.ndarray:
    """Ramps of red, green and blue with a red corner that tells every turn; uint8 ``(48, 64, 3)``."""
    width, height = SIZE
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    ramps = np.stack([across, down, (1 - across) * (0.3 + 0.7 * down)], axis=-1)
    pixels = (ramps * 255).round().astype(np.uint8)
    pixels[:10, :14] = (250, 20, 20)
    return pixels


def grey() -> np.ndarray:
    """The image's lightness, uint8 ``(48, 64)``."""
    return (colours() @ (0.299, 0.587, 0.114)).round().astype(np.uint8)


def deep(samples: np.ndarray, bits: int) -> np.ndarray:
    """The same over the range of more or fewer bits, not all of them multiples of 8-bit values; ints."""
    most = 2**bits - 1
    scaled = (samples / 255 * most).round().astype(int)
    return scaled if bits <= 8 else np.where((scaled > 200) & (scaled < most), scaled - 100, scaled)


def alpha() -> np.ndarray:
    """Opacity that grows from left to right, ints ``(48, 64, 1)``."""
    width, height = SIZE
    return np.broadcast_to(np.linspace(0, 255, width).round().astype(int)[None, :, None], (height, width, 1))


def rgb(values: np.ndarray) -> np.ndarray:
    """Grey values as three channels."""
    return np.repeat(values[..., None], 3, axis=-1)


def on_white(pixels: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Lay pixels on white, all of 255."""
    return pixels * (opacity / 255) + 255 - opacity


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB of light (IEC 61966-2-1), 0 to 1."""
    light = linear.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def decode_srgb(values: np.ndarray) -> np.ndarray:
    """Light of sRGB, 0 to 1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def meant(values: np.ndarray, exponent: float | None = None, space: Chromaticities = SRGB) -> np.ndarray:
    """What values of another space are in sRGB, 0 to 255; an exponent of ``None`` is sRGB's own tone curve."""
    scaled = values / 255
    light = decode_srgb(scaled) if exponent is None else scaled**exponent
    if space is not SRGB:
        light = light @ (np.linalg.inv(to_d50(SRGB)) @ to_d50(space)).T
    return encode_srgb(light) * 255
