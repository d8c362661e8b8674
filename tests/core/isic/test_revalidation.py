"""What changed is transferred, and nothing else, whatever the run before came to; and the numbers are of this run."""

from pathlib import Path

import pytest

from lesion_core.errors import ShortfallError
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.assembly import IngestReport, assemble, report_arrivals
from lesion_core.isic.ingest.fetch import fetch_shard
from lesion_core.isic.ingest.holdings import earlier_tables
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing.listing import list_archive
from lesion_core.isic.snapshot import read_images
from lesion_core.isic.source import ArchiveSource
from lesion_core.refs import SnapshotRef
from lesion_core.stores.local import LocalStore
from tests.core.isic.bulks import offer, table
from tests.core.isic.faulty import FaultyServer, Shelf, send
from tests.core.isic.folders import isic_id, jpeg

QUICK = Patience(attempts=2, first_wait_seconds=0.01, connect_seconds=2, read_seconds=2, request_seconds=10)
NUMBERS = range(12)
MISSING = 11
IN_PARTS = "9b2cf535f27731c974343645a3985328-2"  # an object that was sent in two parts has such a tag


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def shelf(faulty: FaultyServer) -> Shelf:
    """An archive of twelve images; one of them is too large to be sent in one part."""
    offer(faulty, counts=[len(NUMBERS)], tables=[table(NUMBERS)], files=[set(NUMBERS)])
    shelf = Shelf(faulty)
    for number in NUMBERS:
        shelf.put(f"/{number}.jpg", jpeg(number), IN_PARTS if number == 3 else None)
    return shelf


def run(faulty: FaultyServer, store: LocalStore, **options: object) -> SnapshotRef:
    source = ArchiveSource.model_validate({"url": faulty.url, "connections": 2, **options})
    return ingest(source, store, patience=QUICK)


def reported(faulty: FaultyServer, store: LocalStore, cache: Path, **options: object) -> IngestReport:
    """Run shard by shard, as the flow does, and return what it reports."""
    source = ArchiveSource.model_validate({"url": faulty.url, "connections": 2, **options})
    listing = list_archive(source, store, shard_images=5, patience=QUICK)
    tables = earlier_tables(store, listing.name, cache)
    shards = [
        fetch_shard(source, listing, number, store, tables=tables, patience=QUICK)
        for number in range(listing.n_shards)
    ]
    report = report_arrivals(listing, shards, store)
    assemble(source, listing, shards, store)
    return report


def fall_short(faulty: FaultyServer, store: LocalStore, shelf: Shelf) -> None:
    """Run while one file is not there, and let it come back."""
    faulty.answers[f"/{MISSING}.jpg"] = [send({"detail": "Not Found"}, 404)]
    with pytest.raises(ShortfallError):
        run(faulty, store)
    shelf.put(f"/{MISSING}.jpg", jpeg(MISSING))
    shelf.take_count()


def test_after_a_run_that_fell_short_only_what_changed_is_transferred(
    faulty: FaultyServer, store: LocalStore, shelf: Shelf, tmp_path: Path
) -> None:
    fall_short(faulty, store, shelf)
    run(faulty, store)
    assert shelf.take_count() == (0, 1, len(jpeg(MISSING)))
    changed = {4: jpeg(104), 7: jpeg(107)}
    for number, body in changed.items():
        shelf.put(f"/{number}.jpg", body)
    snapshot = run(faulty, store, revalidate=True)
    assert shelf.take_count() == (10, 2, sum(map(len, changed.values())))
    tags = read_images(store, snapshot, tmp_path).set_index("isic_id")["etag"]
    assert tags.notna().all()
    assert tags[isic_id(3)] == IN_PARTS
    run(faulty, store, revalidate=True)
    assert shelf.take_count() == (12, 0, 0)


def test_it_may_be_revalidated_at_once(faulty: FaultyServer, store: LocalStore, shelf: Shelf) -> None:
    fall_short(faulty, store, shelf)
    shelf.put("/4.jpg", jpeg(104))
    run(faulty, store, revalidate=True)
    assert shelf.take_count() == (10, 2, len(jpeg(MISSING)) + len(jpeg(104)))


def test_a_killed_run_left_no_tags_and_the_bytes_tell_them(
    faulty: FaultyServer, store: LocalStore, shelf: Shelf
) -> None:
    run(faulty, store)
    for key in [*store.list("shards/"), *store.list("snapshots/")]:
        store.remove(key)  # as if it had been killed before it came to an end
    shelf.take_count()
    run(faulty, store)
    assert shelf.take_count() == (0, 0, 0)
    run(faulty, store, revalidate=True)
    assert shelf.take_count() == (11, 1, len(jpeg(3)))  # no bytes tell the tag of what was sent in parts
    run(faulty, store, revalidate=True)
    assert shelf.take_count() == (12, 0, 0)  # and then it is remembered


def test_a_tag_that_is_given_anew_to_the_same_bytes_is_learnt(
    faulty: FaultyServer, store: LocalStore, shelf: Shelf
) -> None:
    first = run(faulty, store)
    shelf.put("/3.jpg", jpeg(3))  # stored in one part now
    shelf.take_count()
    assert run(faulty, store, revalidate=True) == first
    assert shelf.take_count() == (11, 1, len(jpeg(3)))
    assert run(faulty, store, revalidate=True) == first
    assert shelf.take_count() == (12, 0, 0)


def test_the_numbers_of_transfers_are_those_of_the_run(
    faulty: FaultyServer, store: LocalStore, shelf: Shelf, tmp_path: Path
) -> None:
    def numbers(**options: object) -> tuple[int, int, int]:
        report = reported(faulty, store, tmp_path, **options)
        assert f"of which {report.n_transferred} were transferred now" in report.in_words()
        assert (report.n_transferred, report.n_bytes) == shelf.take_count()[1:]
        return report.n_arrived, report.n_transferred, report.n_bytes

    assert numbers() == (12, 12, sum(len(jpeg(number)) for number in NUMBERS))
    for number in NUMBERS:
        faulty.answers.pop(f"/{number}.jpg")  # the storage is switched off
    assert numbers() == (12, 0, 0)
    for number in NUMBERS:
        shelf.put(f"/{number}.jpg", jpeg(number))
    shelf.put("/4.jpg", jpeg(104))
    assert numbers(revalidate=True) == (12, 1 + 1, len(jpeg(104)) + len(jpeg(3)))  # 3 has another tag now
    assert numbers(revalidate=True) == (12, 0, 0)
    assert numbers() == (12, 0, 0)
