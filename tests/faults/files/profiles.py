"""ICC profiles of every kind, written from the definition (ICC.1:2022), and the colour spaces behind them."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
Chromaticities = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
D65 = (0.3127, 0.3290)
SRGB: Chromaticities = (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB: Chromaticities = (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
DISPLAY_P3: Chromaticities = (D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _s15(*values)


def gamma_curve(exponent: float) -> bytes:
    """A tone curve ``y = x ** exponent``."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256)) + b"\0\0"


def srgb_curve() -> bytes:
    """The tone curve of sRGB, as a parametric one."""
    return b"para\0\0\0\0\0\x03\0\0" + _s15(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def to_d50(space: Chromaticities) -> np.ndarray:
    """Return the matrix from linear RGB of a space to XYZ under D50, adapted by Bradford's method."""
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in space)
    columns = np.array(primaries).T
    plain = columns * np.linalg.solve(columns, white)
    scale = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.linalg.solve(BRADFORD, scale @ BRADFORD) @ plain


def profile(space: bytes, tags: Mapping[bytes, bytes], *, version: int = 2, pcs: bytes = b"XYZ ") -> bytes:
    """Return a display profile with these tags, and those that every profile has."""
    text = b"test\0"
    named = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0" + text,
        b"wtpt": _xyz(D50),
    }
    if version == 4:
        words = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 8, 28) + "test".encode("utf-16-be")
        named |= {b"desc": words, b"cprt": words}
    table, body, start = b"", b"", 132 + 12 * (len(named) + len(tags))
    for name, value in {**named, **tags}.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value
    count = struct.pack(">I", len(named) + len(tags))
    header = struct.pack(">I4xB3x4s4s4s", 132 + len(table) + len(body), version, b"mntr", space, pcs)
    header += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0") + _s15(*D50)
    return header.ljust(128, b"\0") + count + table + body


def rgb_profile(space: Chromaticities, curve: bytes, *, version: int = 2) -> bytes:
    """Return the profile of a space of three primaries with one tone curve."""
    matrix = to_d50(space)
    tags = {b"rXYZ": _xyz(matrix[:, 0]), b"gXYZ": _xyz(matrix[:, 1]), b"bXYZ": _xyz(matrix[:, 2])}
    return profile(b"RGB ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}, version=version)


def grey_profile(curve: bytes, *, version: int = 2) -> bytes:
    """Return the profile of a grey scale with a tone curve."""
    return profile(b"GRAY", {b"kTRC": curve}, version=version)


def _lab(xyz: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of XYZ under D50, ``(…, 3)``."""
    ratio = xyz / D50
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def table_profile(space: bytes, rgb_of: "np.ufunc | object", *, n_inputs: int, points: int) -> bytes:
    """Return a profile that is a table of 16-bit L*a*b* values (``mft2``), as printers and scanners have them.

    ``rgb_of`` says which sRGB colour, of 1, an input of the grid is: ``(n, inputs)`` to ``(n, 3)``.
    """
    axes = np.meshgrid(*[np.linspace(0, 1, points)] * n_inputs, indexing="ij")
    grid = np.stack([axis.ravel() for axis in axes], axis=-1)
    rgb = np.asarray(rgb_of(grid))  # type: ignore[operator]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = _lab(linear @ to_d50(SRGB).T)
    coded = np.stack([lab[:, 0] * 652.8, (lab[:, 1] + 128) * 256, (lab[:, 2] + 128) * 256], axis=-1)
    line = struct.pack(">2H", 0, 65535)
    table = b"mft2\0\0\0\0" + bytes([n_inputs, 3, points, 0]) + _s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += struct.pack(">2H", 2, 2) + line * n_inputs
    table += coded.round().clip(0, 65535).astype(">u2").tobytes() + line * 3
    return profile(space, {b"A2B0": table}, pcs=b"Lab ")


def inks_on_paper(grid: np.ndarray) -> np.ndarray:
    """sRGB of CMYK inks, of 1, on yellowish paper: darker than by the plain formula."""
    return (1 - grid[..., :3] * 0.9) * (1 - grid[..., 3:] * 0.95) * (1.0, 0.97, 0.9)


def swapped(grid: np.ndarray) -> np.ndarray:
    """sRGB of an RGB device whose red and blue are exchanged, and whose green is darker."""
    return grid[..., ::-1] * (1.0, 0.8, 1.0)


def cmyk_profile() -> bytes:
    """The profile of a printer."""
    return table_profile(b"CMYK", inks_on_paper, n_inputs=4, points=9)


def rgb_table_profile() -> bytes:
    """A profile of RGB that is a table alone."""
    return table_profile(b"RGB ", swapped, n_inputs=3, points=17)
