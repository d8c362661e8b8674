"""The archive goes on while it is read: what comes or goes between two requests is no loss, and what is lost is."""

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

from lesion_core.errors import ShortfallError
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing.catalogue import Catalogue
from lesion_core.isic.listing.reading import Reading
from lesion_core.isic.listing.routes import read_listing
from lesion_core.isic.snapshot import read_images, read_issues
from lesion_core.isic.source import ArchiveSource
from lesion_core.progress import Progress, ignore_progress
from lesion_core.stores.local import LocalStore
from tests.core.isic.bulks import FILES, SEARCH, TABLE, offer, table
from tests.core.isic.faulty import FaultyServer, listed, page, send
from tests.core.isic.folders import isic_id, jpeg

QUICK = Patience(attempts=2, first_wait_seconds=0.01, connect_seconds=2, read_seconds=2, request_seconds=10)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(tmp_path / "scratch" / "catalogue.sqlite") as catalogue:
        yield catalogue


def n_readings(server: FaultyServer) -> int:
    return sum(target.startswith(TABLE) for target in server.requests)


# Each line: what is counted, what the table has, which files are listed, one number or set for each reading; then the
# images of the snapshot, and how often all was read.
CHANGES = [
    ("nothing changes", [3], [{1, 2, 3}], [{1, 2, 3}], {1, 2, 3}, 1),
    ("published after the count", [3], [{1, 2, 3, 4}], [{1, 2, 3, 4}], {1, 2, 3, 4}, 1),
    ("published after the table", [3, 4], [{1, 2, 3}, {1, 2, 3, 4}], [{1, 2, 3, 4}], {1, 2, 3, 4}, 2),
    ("withdrawn after the count", [3, 2], [{1, 2}], [{1, 2}], {1, 2}, 2),
    ("withdrawn after the table", [3, 2], [{1, 2, 3}, {1, 2}], [{1, 2}], {1, 2}, 2),
    ("one of each, at once", [3, 3], [{1, 2, 3}, {1, 2, 4}], [{1, 2, 4}], {1, 2, 4}, 2),
    (
        "one published in the first reading, another in the second",
        [3, 4],
        [{1, 2, 3}, {1, 2, 3, 4}],
        [{1, 2, 3, 4}, {1, 2, 3, 4, 5}],
        {1, 2, 3, 4},
        2,
    ),
    (
        "one withdrawn in the first reading, another in the second",
        [4, 3],
        [{1, 2, 3, 4}, {1, 2, 3}],
        [{1, 2, 3}, {1, 2}],
        {1, 2},
        2,
    ),
]


@pytest.mark.parametrize(
    ("counts", "tables", "files", "expected", "n_read"),
    [line[1:] for line in CHANGES],
    ids=[line[0] for line in CHANGES],
)
def test_what_comes_or_goes_between_two_requests_does_not_fail_the_run(
    faulty: FaultyServer,
    store: LocalStore,
    tmp_path: Path,
    counts: Sequence[int],
    tables: Sequence[Collection[int]],
    files: Sequence[Collection[int]],
    expected: set[int],
    n_read: int,
) -> None:
    offer(faulty, counts=counts, tables=[table(sorted(numbers)) for numbers in tables], files=files)
    snapshot = ingest(ArchiveSource(url=faulty.url, listing="bulk"), store, patience=QUICK)
    assert n_readings(faulty) == n_read
    images = read_images(store, snapshot, tmp_path)
    assert images["isic_id"].tolist() == [isic_id(number) for number in sorted(expected)]
    assert read_issues(store, snapshot, tmp_path).empty
    assert snapshot.n_excluded == 0


def test_a_withdrawn_image_is_said(faulty: FaultyServer, store: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    offer(faulty, counts=[3, 2], tables=[table([1, 2, 3]), table([1, 2])], files=[{1, 2}])
    news: list[Progress] = []
    with caplog.at_level(logging.WARNING):
        ingest(ArchiveSource(url=faulty.url), store, patience=QUICK, on_progress=news.append)
    words = f"1 images were withdrawn from the archive while it was read: {isic_id(3)}"
    assert words in caplog.text
    assert words in [each.message for each in news if each.stage == "list"][-1]


# Each line: the same as above, then what the run's error says, and how many images it counts as missing.
LOSSES = [
    (
        "a row that is never in the table",
        [3],
        [{1, 2}],
        [{1, 2, 3}],
        rf"counted 3 images and listed 2, in each of 3 readings.*lacks, in each of 3 readings \({isic_id(3)}\)",
        1,
    ),
    ("a file that is never listed", [3], [{1, 2, 3}], [{1, 2}], f"{isic_id(3)}: the archive lists no file for it", 1),
    (
        "a row that is never there, while another comes",
        [3, 4],
        [{1, 2}, {1, 2, 4}],
        [{1, 2, 3}, {1, 2, 3, 4}],
        rf"counted 4 images and listed 3, in each of 3 readings.*\({isic_id(3)}\)",
        1,
    ),
]


@pytest.mark.parametrize(
    ("counts", "tables", "files", "words", "n_lost"), [line[1:] for line in LOSSES], ids=[line[0] for line in LOSSES]
)
def test_what_differs_every_time_is_lost_and_the_error_says_what(
    faulty: FaultyServer,
    store: LocalStore,
    counts: Sequence[int],
    tables: Sequence[Collection[int]],
    files: Sequence[Collection[int]],
    words: str,
    n_lost: int,
) -> None:
    offer(faulty, counts=counts, tables=[table(sorted(numbers)) for numbers in tables], files=files)
    with pytest.raises(ShortfallError, match=words) as caught:
        ingest(ArchiveSource(url=faulty.url, listing="bulk"), store, patience=QUICK)
    assert caught.value.n_missing == n_lost
    assert n_readings(faulty) == 3


def read(url: str, catalogue: Catalogue, **options: object) -> Reading:
    source = ArchiveSource.model_validate({"url": url, **options})
    with ArchiveClient(url, patience=QUICK) as client:
        return read_listing(client, source, catalogue, ignore_progress)


def test_answers_of_different_things_are_not_read_again(faulty: FaultyServer, catalogue: Catalogue) -> None:
    offer(faulty, counts=[5000], tables=[table([1, 2])], files=[{1, 2}])
    assert read(faulty.url, catalogue, listing="bulk").n_short == 4998
    assert n_readings(faulty) == 1


def test_an_image_withdrawn_while_pages_are_read_is_no_loss(faulty: FaultyServer, store: LocalStore) -> None:
    rows = [listed(number, f"{faulty.host}/{number}.jpg") for number in (1, 2)]
    for number in (1, 2):
        faulty.answers[f"/{number}.jpg"] = [send(jpeg(number))]
    faulty.answers[SEARCH] = [send(page(rows, 3)), send(page([], 2))]
    snapshot = ingest(ArchiveSource(url=faulty.url, listing="pages"), store, patience=QUICK)
    assert (snapshot.n_images, snapshot.n_excluded) == (2, 0)


def test_rows_that_pages_skip_are_a_loss_all_the_same(faulty: FaultyServer, catalogue: Catalogue) -> None:
    faulty.answers[SEARCH] = [send(page([listed(1), listed(2)], 4)), send(page([], 3))]
    reading = read(faulty.url, catalogue, listing="pages")
    assert (reading.n_stated, reading.n_short) == (3, 1)
    assert reading.notes == ("1 images were withdrawn from the archive while it was read",)


def test_files_are_asked_for_once_a_reading(faulty: FaultyServer, catalogue: Catalogue) -> None:
    offer(faulty, counts=[2], tables=[table([1, 2])], files=[{1, 2}])
    read(faulty.url, catalogue, listing="bulk")
    assert sum(target.startswith(FILES) for target in faulty.requests) == 1
    assert len(faulty.requests) == 4  # a token, a count, a table, a list of files
