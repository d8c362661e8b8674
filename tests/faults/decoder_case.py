"""A row of the decoder's table: files of one kind, what they must become, and how far Chromium is from that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lesion_core.errors import ImageRejected
from lesion_core.images import decode

# LittleCMS rounds in fixed point where Chromium's skcms works in floating point; alpha is laid on white with
# rounding in both; samples of 5, 6 or 16 bits become 8 bits by rounding here and by cutting there.
ROUNDING = 1
# Pillow's wheel and Debian's Chromium both hold libjpeg-turbo, whose decoders agree to the bit; other builds may
# have another inverse transform, or another filter for the colours of a 4:2:0 image.
LOSSY = 3
# A profile that is a table holds 9 or 17 steps a side; what lies between them is interpolated.
TABLED = 4


@dataclass(frozen=True, slots=True)
class File:
    """One file.

    Attributes:
        body: Its bytes.
        meant: Its colours by the definition of its format, 0 to 255, ``(height, width, 3)``; ``None`` where the
            format does not define them to the value, as with JPEG.
    """

    body: bytes
    meant: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class DecoderCase:
    """Files that are alike.

    Attributes:
        format: What they are.
        came: What is special about them.
        becomes: What is done with them, in words; where they are refused, the reason.
        make: Returns them by a name that tells them apart.
        within: Greatest difference from Chromium that rounding explains.
        off: Greatest difference from the definition.
        apart: Why Chromium shows something else, where that is meant.
        is_refused: Whether they are refused.
    """

    format: str
    came: str
    becomes: str
    make: Callable[[], Mapping[str, File]]
    within: int = ROUNDING
    off: float = ROUNDING
    apart: str = ""
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case's files: differences, ``None`` where there is nothing to compare."""

    words: str
    from_definition: float | None
    from_chromium: float | None
    mean_from_chromium: float | None
    n_shown: int


def decoded(file: File) -> np.ndarray | str:
    """Return a file's pixels, or the reason why it is refused."""
    try:
        return decode(file.body, image_id="a")
    except ImageRejected as error:
        return str(error.reason)


def judge(
    files: Mapping[str, File], came: Mapping[str, np.ndarray | str], shown: Mapping[str, np.ndarray | None]
) -> Verdict:
    """Compare what a case's files became with the definition, and with what Chromium showed of them."""
    reasons, defined, beside = set(), [], []
    for name, file in files.items():
        result = came[name]
        if isinstance(result, str):
            reasons.add(result)
            continue
        pixels = result.astype(float)
        if file.meant is not None:
            assert pixels.shape == file.meant.shape, name
            defined.append(np.abs(pixels - file.meant).max())
        seen = shown.get(name)
        if seen is not None:
            turned = seen.shape != pixels.shape
            beside.append(np.full(1, 255.0) if turned else np.abs(pixels - seen))
    return Verdict(
        "; ".join(sorted(reasons)),
        max(defined, default=None),
        max((each.max() for each in beside), default=None),
        float(np.mean([each.mean() for each in beside])) if beside else None,
        sum(seen is not None for seen in shown.values()),
    )
