"""Files of every format, depth, profile and orientation become what their format says, and what Chromium shows.

Chromium starts once and draws them all. ``python -m tests.faults.table`` writes what is seen into the documentation.
"""

import pytest

from tests.faults.decoder_case import decoded, judge
from tests.faults.decoder_table import DECODER_CASES, Decoded, Made, Shown, decode_all, make_all, row_of, show_all
from tests.faults.results import committed, compared_with

NUMBERS = pytest.mark.parametrize(
    "number", range(len(DECODER_CASES)), ids=[f"{case.format}: {case.came}" for case in DECODER_CASES]
)
# Pillow's own words on it; they hold nothing of the file, and the image is used.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")


@pytest.fixture(scope="module")
def made() -> Made:
    """The files of every row."""
    return make_all()


@pytest.fixture(scope="module")
def came(made: Made) -> Decoded:
    """What becomes of each file."""
    return decode_all(made)


@pytest.fixture(scope="module")
def shown(made: Made, chromium: str) -> tuple[str, Shown]:
    """Chromium's version, and what it shows of each file."""
    return show_all(made, chromium)


@NUMBERS
def test_files_become_what_their_format_says(number: int, made: Made, came: Decoded) -> None:
    case = DECODER_CASES[number]
    verdict = judge(made[number], came[number], {})
    assert verdict.words == (case.becomes if case.is_refused else "")
    assert verdict.from_definition is None or verdict.from_definition <= case.off


@NUMBERS
def test_chromium_shows_the_same(number: int, made: Made, came: Decoded, shown: tuple[str, Shown]) -> None:
    case, seen = DECODER_CASES[number], shown[1][number]
    verdict = judge(made[number], came[number], seen)
    if case.apart:
        assert verdict.from_chromium is None or verdict.from_chromium > case.within, "no longer apart"
    elif verdict.from_chromium is not None:
        assert verdict.from_chromium <= case.within
        assert verdict.n_shown == len(seen)
    else:
        assert not verdict.n_shown, "Chromium shows what is refused, or nobody compares"


@NUMBERS
def test_the_documentation_says_so(number: int, made: Made, came: Decoded, shown: tuple[str, Shown]) -> None:
    row = row_of(DECODER_CASES[number], made[number], came[number], shown[1][number])
    recorded = committed("decoder")[number]
    assert row[:-1] == recorded[:-1]
    if compared_with("decoder") == f"Chromium {shown[0]}":
        assert row == recorded


def test_the_documentation_has_these_rows_and_no_others() -> None:
    assert [row[:2] for row in committed("decoder")] == [(case.format, case.came) for case in DECODER_CASES]


def test_decoding_prints_nothing(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    for files in made:
        decoded(next(iter(files.values())))
    assert capfd.readouterr() == ("", "")
