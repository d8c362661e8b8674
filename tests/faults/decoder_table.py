"""The decoder's table: every row judged, and written as the documentation shows it."""

from collections.abc import Mapping, Sequence

import numpy as np

from tests.faults.bitmap_cases import BITMAP_CASES
from tests.faults.browser import show
from tests.faults.decoder_case import DecoderCase, File, Verdict, decoded, judge
from tests.faults.photo_cases import PHOTO_CASES
from tests.faults.png_cases import PNG_CASES
from tests.faults.tiff_cases import TIFF_CASES

DECODER_CASES = (*PNG_CASES, *PHOTO_CASES, *BITMAP_CASES, *TIFF_CASES)
HEADER = ("format", "what comes", "files", "what becomes of it", "from its definition", "from Chromium")
Made = Sequence[Mapping[str, File]]
Decoded = Sequence[Mapping[str, np.ndarray | str]]
Shown = Sequence[Mapping[str, np.ndarray | None]]
Row = tuple[str, ...]


def make_all() -> Made:
    """Return the files of every row."""
    return [case.make() for case in DECODER_CASES]


def decode_all(made: Made) -> Decoded:
    """Return what becomes of each file."""
    return [{name: decoded(file) for name, file in files.items()} for files in made]


def show_all(made: Made, chromium: str) -> tuple[str, Shown]:
    """Start Chromium once for all files; return its version and what it shows of each."""
    version, pixels = show(chromium, [file.body for files in made for file in files.values()])
    each = iter(pixels)
    return version, [{name: next(each) for name in files} for files in made]


def row_of(
    case: DecoderCase,
    files: Mapping[str, File],
    came: Mapping[str, np.ndarray | str],
    shown: Mapping[str, np.ndarray | None],
) -> Row:
    """Return a row's cells; the last one depends on the version of Chromium."""
    verdict = judge(files, came, shown)
    becomes = f"refused: {case.becomes}" if case.is_refused else case.becomes
    defined = "" if verdict.from_definition is None else f"{verdict.from_definition:.1f}"
    return (case.format, case.came, str(len(files)), becomes, defined, _beside(case, verdict))


def _beside(case: DecoderCase, verdict: Verdict) -> str:
    if verdict.from_chromium is not None:
        difference = f"{verdict.from_chromium:.0f}, mean {verdict.mean_from_chromium:.2f}"
    else:
        difference = "shows it" if verdict.n_shown else "does not show it"
    return f"{difference}: {case.apart}" if case.apart and verdict.n_shown else difference
