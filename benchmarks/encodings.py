"""What a record could be: raw pixels, or one of the encodings that the installed packages have."""

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to keep a square image, uint8 ``(side, side, 3)``, as bytes."""

    name: str
    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes, int], np.ndarray]


def encodings() -> tuple[Encoding, ...]:
    """Return what is compared, the records' own first."""
    return (
        Encoding("raw, CRC-32", _raw, _from_raw),
        _arrow("raw, LZ4", "lz4_raw", None),
        _arrow("raw, zstd 1", "zstd", 1),
        Encoding("differences, zstd 1", _differences, _from_differences),
        _pillow("PNG, level 1", "PNG", compress_level=1),
        _pillow("PNG, level 6", "PNG", compress_level=6),
        _pillow("WebP lossless, method 0", "WEBP", lossless=True, quality=0, method=0),
        _pillow("WebP lossless, method 4", "WEBP", lossless=True, quality=75, method=4),
        _pillow("JPEG 98, 4:4:4", "JPEG", quality=98, subsampling=0),
        _pillow("JPEG 95, 4:4:4", "JPEG", quality=95, subsampling=0),
    )


def _raw(pixels: np.ndarray) -> bytes:
    body = pixels.tobytes()
    return body + zlib.crc32(body).to_bytes(4, "little")


def _from_raw(body: bytes, side: int) -> np.ndarray:
    pixels = np.frombuffer(body, np.uint8, side * side * 3).copy()
    if zlib.crc32(pixels) != int.from_bytes(body[-4:], "little"):
        raise ValueError("damaged")
    return pixels.reshape(side, side, 3)


def _pillow(name: str, format_: str, **options: Any) -> Encoding:
    def encode(pixels: np.ndarray) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format_, **options)
        return stream.getvalue()

    return Encoding(name, encode, lambda body, _: np.asarray(Image.open(io.BytesIO(body))))


def _codec(name: Literal["lz4_raw", "zstd"], level: int | None) -> pa.Codec:
    return pa.Codec(name) if level is None else pa.Codec(name, compression_level=level)


def _arrow(name: str, codec: Literal["lz4_raw", "zstd"], level: int | None) -> Encoding:
    def decode(body: bytes, side: int) -> np.ndarray:
        whole = _codec(codec, level).decompress(body, side * side * 3, asbytes=True)
        return np.frombuffer(whole, np.uint8).reshape(side, side, 3)

    return Encoding(name, lambda pixels: _codec(codec, level).compress(pixels.tobytes(), asbytes=True), decode)


def _differences(pixels: np.ndarray) -> bytes:
    """Neighbours' differences, plane by plane, red and blue less green: what PNG and WebP begin with."""
    planes = pixels.transpose(2, 0, 1).copy()
    planes[0] -= planes[1]
    planes[2] -= planes[1]
    planes[:, :, 1:] -= planes[:, :, :-1].copy()
    return _codec("zstd", 1).compress(planes.tobytes(), asbytes=True)


def _from_differences(body: bytes, side: int) -> np.ndarray:
    whole = _codec("zstd", 1).decompress(body, side * side * 3, asbytes=True)
    planes = np.cumsum(np.frombuffer(whole, np.uint8).reshape(3, side, side), axis=2, dtype=np.uint8)
    planes[0] += planes[1]
    planes[2] += planes[1]
    return np.ascontiguousarray(planes.transpose(1, 2, 0))
