"""Whatever comes: used, reported, or refused in one clear error; and what was stored stays stored.

The documentation's tables are what these runs see; ``python -m tests.faults.table`` writes them.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from deployments.scoring.run import score
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import open_dataset
from lesion_core.images import Preprocessing, preprocess
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.source import ArchiveSource
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from tests.core.isic.folders import isic_id
from tests.faults.acts import Bench, try_answers, try_images, try_table
from tests.faults.answer_cases import ANSWER_CASES
from tests.faults.bulk_cases import BULK_CASES
from tests.faults.case import AnswerCase, TableCase, serve_files
from tests.faults.expected import Outcome, Used, cleaned
from tests.faults.image_cases import IMAGE_CASES
from tests.faults.images import noise
from tests.faults.page import PageApi, page_api
from tests.faults.results import committed
from tests.faults.table import page_cell, row_of
from tests.faults.table_cases import TABLE_CASES

NAMED = {"ids": lambda case: case.came}
# Pillow's own words on it; they hold nothing of the file, and the image is used.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")


@pytest.fixture(scope="module")
def image_outcomes(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What came of every file, all in one archive."""
    outcomes = try_images(IMAGE_CASES, tmp_path_factory.mktemp("images"), bench)
    return dict(zip((case.came for case in IMAGE_CASES), outcomes, strict=True))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageApi]:
    """The page's routes."""
    with page_api(tmp_path_factory.mktemp("page")) as api:
        yield api


@pytest.mark.parametrize("number", range(len(IMAGE_CASES)), ids=[case.came for case in IMAGE_CASES])
def test_a_file(number: int, image_outcomes: dict[str, Outcome], page: PageApi) -> None:
    case = IMAGE_CASES[number]
    outcome = image_outcomes[case.came]
    case.expected.check(outcome)
    cell = page_cell(page.ask(case.make()), outcome)
    assert cell == ("answered" if isinstance(case.expected, Used) else "422, same words")
    assert (*row_of(case, outcome), cell) == committed("images")[number]


@pytest.mark.parametrize("case", TABLE_CASES, **NAMED)
def test_a_metadata_table(case: TableCase, bench: Bench, tmp_path: Path) -> None:
    outcome = try_table(case, tmp_path, bench)
    case.expected.check(outcome)
    assert row_of(case, outcome) in committed("metadata")


@pytest.mark.parametrize("case", ANSWER_CASES, **NAMED)
def test_an_answer(case: AnswerCase, bench: Bench, tmp_path: Path) -> None:
    outcome = try_answers(case, tmp_path, bench)
    case.expected.check(outcome)
    assert row_of(case, outcome) in committed("answers")


@pytest.mark.parametrize("case", BULK_CASES, **NAMED)
def test_an_answer_in_bulk(case: AnswerCase, bench: Bench, tmp_path: Path) -> None:
    outcome = try_answers(case, tmp_path, bench)
    case.expected.check(outcome)
    assert row_of(case, outcome) in committed("bulk")


@pytest.mark.parametrize(
    ("name", "cases"),
    [("images", IMAGE_CASES), ("metadata", TABLE_CASES), ("answers", ANSWER_CASES), ("bulk", BULK_CASES)],
)
def test_the_documentation_has_these_cases_and_no_others(name: str, cases: tuple[TableCase, ...]) -> None:
    assert [row[0] for row in committed(name)] == [case.came for case in cases]


def test_what_is_used_is_in_the_records_as_a_viewer_shows_it(bench: Bench, tmp_path: Path) -> None:
    used = [case for case in IMAGE_CASES if isinstance(case.expected, Used)]
    files = [case.make() for case in used]
    store = LocalStore(tmp_path / "store")
    with serve_files([*files, *(noise(size=(40 + n, 40)) for n in range(12))], tmp_path / "archive") as url:
        snapshot = ingest(ArchiveSource(url=url), store)
    ref = prepare(snapshot, PrepareOptions(name="odd", size_px=32), store, workdir=tmp_path / "work")
    dataset = open_dataset(store, ref, tmp_path / "cache")
    rows = dataset.rows.set_index("isic_id", drop=False)
    for number, (case, body) in enumerate(zip(used, files, strict=True), start=10):
        (pixels,) = dataset.pixels(rows.loc[[isic_id(number)]])
        assert (pixels == preprocess(body, Preprocessing(size_px=32), image_id=case.came)).all()
        assert isinstance(case.expected, Used)
        case.expected.check_pixels(pixels)


def test_a_scored_folder_has_the_same_words(
    page: PageApi, image_outcomes: dict[str, Outcome], tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, case in enumerate(IMAGE_CASES):
        (folder / f"{number:03d}.jpg").write_bytes(case.make())
    settings = LesionSettings(store=str(page.store.root), work=tmp_path / "work")
    summary = score(settings, folder, tmp_path / "out.csv")
    refused = pd.read_csv(tmp_path / "out.csv")["refused"]
    expected = [image_outcomes[case.came].words for case in IMAGE_CASES]
    assert (summary.n_scored, summary.n_refused) == (expected.count(""), len(expected) - expected.count(""))
    for words, reason in zip(expected, refused, strict=True):
        assert pd.isna(reason) if not words else words in cleaned(str(reason))
