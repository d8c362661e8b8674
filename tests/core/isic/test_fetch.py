"""What is transferred, what is not, and what outlives a killed run: over real HTTP into a real store."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.stack.waiting import wait_for
from lesion_core.errors import ManifestError, ShortfallError
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.assembly import assemble, report_arrivals
from lesion_core.isic.ingest.fetch import fetch_shard
from lesion_core.isic.ingest.holdings import earlier_tables
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing.listing import list_archive
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.snapshot import read_images, read_issues
from lesion_core.isic.source import ArchiveSource
from lesion_core.refs import ListingRef, ShardRef
from lesion_core.stores.local import LocalStore
from tests.conftest import ROOT
from tests.core.isic.faulty import FaultyServer, listed, page, send
from tests.core.isic.folders import MELANOMA, isic_id, jpeg, row, write_folder

QUICK = Patience(attempts=2, first_wait_seconds=0.01, connect_seconds=2, read_seconds=2, request_seconds=10)
SEARCH = "/api/v2/images/search/"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [row(number) for number in range(20)]
    rows[3] |= MELANOMA
    return write_folder(tmp_path / "archive", rows)


def source_of(url: str, **options: object) -> ArchiveSource:
    return ArchiveSource.model_validate({"url": url, "connections": 4, **options})


def in_shards(source: ArchiveSource, store: LocalStore, cache: Path) -> tuple[ListingRef, list[ShardRef]]:
    listing = list_archive(source, store, shard_images=7, patience=QUICK)
    tables = earlier_tables(store, listing.name, cache)
    shards = [
        fetch_shard(source, listing, number, store, tables=tables, patience=QUICK)
        for number in range(listing.n_shards)
    ]
    return listing, shards


def archived(store: LocalStore) -> list[str]:
    return list(store.list("archive/"))


def test_shards_of_any_size_make_the_same_snapshot(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    with running_mirror(folder) as url:
        source = source_of(url)
        listing, shards = in_shards(source, store, tmp_path / "cache")
        assert [shard.n_arrived for shard in shards] == [7, 7, 6]
        assert [shard.n_transferred for shard in shards] == [7, 7, 6]
        assert sum(shard.n_bytes for shard in shards) == sum(path.stat().st_size for path in folder.glob("*.jpg"))
        snapshot = assemble(source, listing, shards, store)
        whole = ingest(source, LocalStore(tmp_path / "other"))
    assert snapshot.id == whole.id


def test_a_report_counts_what_became_of_a_listing(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    (folder / f"{isic_id(2)}.jpg").unlink()
    with running_mirror(folder) as url:
        listing, shards = in_shards(source_of(url, classes=("NV",)), store, tmp_path / "cache")
    report = report_arrivals(listing, shards, store)
    assert (report.n_listed, report.n_wanted, report.n_arrived, report.n_missing) == (20, 19, 18, 1)
    assert [(issue["isic_id"], issue["field"]) for issue in report.rows()] == [
        (isic_id(2), "file"),
        (isic_id(3), "diagnosis"),
    ]
    assert "19 wanted, 18 in the store, of which 18 were transferred now" in report.in_words()


def test_what_did_not_arrive_is_reported_before_what_was_not_wanted(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lesion_core.isic.ingest.assembly._REPORTED", 4)
    rows = [row(number, **(MELANOMA if number < 15 else {})) for number in range(20)]
    folder = write_folder(tmp_path / "archive", rows, without=[isic_id(18), isic_id(19)])
    with running_mirror(folder) as url:
        listing, shards = in_shards(source_of(url, classes=("NV",)), store, tmp_path / "cache")
    report = report_arrivals(listing, shards, store)
    assert [issue["isic_id"] for issue in report.rows()] == [isic_id(18), isic_id(19), isic_id(0), isic_id(1)]
    assert report.n_issues == 17
    assert "17 (the first 4)" in report.in_words()


def test_shards_of_another_listing_are_refused(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    with running_mirror(folder) as url:
        source = source_of(url)
        listing, shards = in_shards(source, store, tmp_path / "cache")
        other = list_archive(source_of(url, classes=("NV",)), store, shard_images=7)
    for wrong in (shards[:2], shards[::-1]):
        with pytest.raises(ManifestError, match="shards of"):
            assemble(source, listing, wrong, store)
    with pytest.raises(ManifestError, match="shards of"):
        assemble(source, other, shards, store)


def test_a_rerun_finds_its_shards_done(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    with running_mirror(folder) as url:
        listing, shards = in_shards(source_of(url), store, tmp_path / "cache")
        found = [shard.model_copy(update={"n_transferred": 0, "n_bytes": 0}) for shard in shards]
        assert in_shards(source_of(url), store, tmp_path / "cache") == (listing, found)


def test_bytes_that_left_the_store_are_fetched_again(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    with running_mirror(folder) as url:
        snapshot = ingest(source_of(url), store)
        lost = archived(store)[5]
        store.remove(lost)
        assert ingest(source_of(url), store) == snapshot
    assert lost in archived(store)


def test_new_images_alone_are_transferred(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    with running_mirror(folder) as url:
        ingest(source_of(url), store)
    for path in folder.glob("*.jpg"):
        path.unlink()  # so whoever asked for an old file would not get it
    rows = [*(row(number) for number in range(20)), row(77)]
    write_folder(folder, rows, without=[isic_id(number) for number in range(20)])
    with running_mirror(folder) as url:
        _, shards = in_shards(source_of(url), store, tmp_path / "cache")
    assert [shard.n_transferred for shard in shards] == [0, 0, 1]


def test_revalidation_transfers_what_changed_and_nothing_else(
    folder: Path, store: LocalStore, tmp_path: Path
) -> None:
    with running_mirror(folder) as url:
        first = ingest(source_of(url), store)
        before = read_images(store, first, tmp_path).set_index("isic_id")
        changed = folder / f"{isic_id(4)}.jpg"
        changed.write_bytes(jpeg(99, (50, 60)))
        assert ingest(source_of(url), store) == first  # the listing says nothing of the bytes
        source = source_of(url, revalidate=True)
        listing, shards = in_shards(source, store, tmp_path / "cache")
        assert [(shard.n_arrived, shard.n_transferred) for shard in shards] == [(7, 1), (7, 0), (6, 0)]
        second = assemble(source, listing, shards, store)
        assert ingest(source_of(url), store) == second  # the newest bytes known are the ones that count
    assert second.id != first.id
    after = read_images(store, second, tmp_path).set_index("isic_id")
    assert list(after.index[after["sha256"] != before["sha256"]]) == [isic_id(4)]
    assert after.loc[isic_id(4), ["width", "height"]].tolist() == [50, 60]
    assert after["etag"].tolist() == [
        hashlib.md5((folder / f"{name}.jpg").read_bytes(), usedforsecurity=False).hexdigest() for name in after.index
    ]


def etag(body: bytes) -> dict[str, str]:
    return {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'}


def test_a_body_that_its_etag_does_not_name_is_fetched_again(
    faulty: FaultyServer, store: LocalStore, tmp_path: Path
) -> None:
    right, wrong = jpeg(1), jpeg(2)
    faulty.answers[SEARCH] = [send(page([listed(1, f"{faulty.host}/1.jpg")], 1))]
    faulty.answers["/1.jpg"] = [send(wrong, headers=etag(right)), send(right, headers=etag(right))]
    snapshot = ingest(source_of(faulty.url), store, patience=QUICK)
    assert read_images(store, snapshot, tmp_path)["sha256"].tolist() == [hashlib.sha256(right).hexdigest()]


def test_a_tag_that_is_no_md5_does_not_hinder(faulty: FaultyServer, store: LocalStore) -> None:
    body = jpeg(1)
    faulty.answers[SEARCH] = [send(page([listed(n, f"{faulty.host}/{n}.jpg") for n in range(3)], 3))]
    faulty.answers["/0.jpg"] = [send(body, headers=etag(b"encrypted"))]
    faulty.answers["/1.jpg"] = [send(body, headers={"ETag": '"9b2cf535f27731c974343645a3985328-2"'})]
    faulty.answers["/2.jpg"] = [send(body, headers={"ETag": 'W/"abc"'})]
    assert ingest(source_of(faulty.url), store, patience=QUICK).n_images == 3


def test_bytes_that_never_fit_their_tag_are_missing(faulty: FaultyServer, store: LocalStore) -> None:
    faulty.answers[SEARCH] = [send(page([listed(1, f"{faulty.host}/1.jpg"), listed(2, f"{faulty.host}/2.jpg")], 2))]
    faulty.answers["/1.jpg"] = [send(jpeg(n), headers=etag(b"other")) for n in range(9)]
    faulty.answers["/2.jpg"] = [send(jpeg(2))]
    with pytest.raises(ShortfallError, match="ISIC_0000001: its bytes are not those that their ETag names"):
        ingest(source_of(faulty.url), store, patience=QUICK)
    assert len(archived(store)) == 1


def test_asked_for_ids_that_are_not_listed_are_missing(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    wanted = (isic_id(1), isic_id(3), isic_id(500))
    with running_mirror(folder) as url:
        with pytest.raises(ShortfallError, match=f"{isic_id(500)}: the archive does not list it") as caught:
            ingest(source_of(url, ids=wanted), store)
        assert caught.value.isic_ids == [isic_id(500)]
        snapshot = ingest(source_of(url, ids=wanted, tolerance=0.5), store)
    assert read_images(store, snapshot, tmp_path)["isic_id"].tolist() == [isic_id(1), isic_id(3)]
    assert read_issues(store, snapshot, tmp_path)["isic_id"].tolist() == [isic_id(500)]


def test_classes_are_a_filter_with_reasons(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    with running_mirror(folder) as url:
        snapshot = ingest(source_of(url, classes=("MEL",)), store)
    assert (snapshot.n_images, snapshot.n_excluded) == (1, 19)
    assert set(read_issues(store, snapshot, tmp_path)["reason"]) == {"is none of the wanted MEL"}


def test_a_listed_image_without_a_file_is_missing(faulty: FaultyServer, store: LocalStore) -> None:
    faulty.answers["/api/v2/zip-download/url/"] = [send(b'"http://host/download?zsid=t"')]
    nevus = "A,CC-0,Benign,Benign melanocytic proliferations,Nevus"
    columns = "isic_id,attribution,copyright_license,diagnosis_1,diagnosis_2,diagnosis_3"
    table = "\n".join([columns, f"ISIC_0000001,{nevus}", f"ISIC_0000002,{nevus}", ""])
    faulty.answers["/api/v2/zip-download/metadata-file/"] = [send(table)]
    files = f'{{"files": [{{"url": "{faulty.host}/1.jpg", "zipPath": "ISIC_0000001.jpg"}}]}}'
    faulty.answers["/api/v2/zip-download/file-listing/"] = [send(files)]
    faulty.answers[SEARCH] = [send(page([], 2))]
    faulty.answers["/1.jpg"] = [send(jpeg(1))]
    with pytest.raises(ShortfallError, match="ISIC_0000002: the archive lists no file for it"):
        ingest(source_of(faulty.url), store, patience=QUICK)
    assert len(archived(store)) == 1


def test_a_killed_run_loses_no_image_that_had_arrived(tmp_path: Path, store: LocalStore) -> None:
    folder = write_folder(tmp_path / "large", [row(number) for number in range(400)])
    with running_mirror(folder) as url:
        script = (
            "import sys; from pathlib import Path; from lesion_core.isic.ingest.ingest import ingest; "
            "from lesion_core.stores.local import LocalStore; from lesion_core.isic.source import ArchiveSource; "
            "ingest(ArchiveSource(url=sys.argv[1], connections=2), LocalStore(Path(sys.argv[2])))"
        )
        place = tmp_path / "store"
        with subprocess.Popen(
            [sys.executable, "-c", script, url, str(place)], env={**os.environ, "PYTHONPATH": str(ROOT)}
        ) as child:
            wait_for(
                lambda: len(archived(store)) >= 40,
                seconds=60,
                is_hopeless=lambda: child.poll() is not None,
                pause_seconds=0.01,
            )
            child.send_signal(signal.SIGKILL)
    there = archived(store)
    assert 40 <= len(there) < 400
    for key in there:
        (folder / f"{key.split('/')[1]}.jpg").unlink()  # so a second transfer of it would fail
    with running_mirror(folder) as url:
        assert ingest(source_of(url), store).n_images == 400
