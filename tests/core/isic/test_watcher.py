"""What the archive changed since the last snapshot, and what of it stops a run."""

import csv
import datetime
import json
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion_core.errors import ManifestError, SchemaDrift, SourceResponseError
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing.listing import list_archive
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.snapshot import read_images
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.statements import Statement, facts_from_cells
from lesion_core.isic.watch.changes import compare
from lesion_core.isic.watch.schema_drift import find_drift
from lesion_core.isic.watch.watcher import WatchReport, find_previous, watch
from lesion_core.isic.withdrawals import note_withdrawn, read_withdrawal, withdrawn_ids
from lesion_core.keys import listing_key
from lesion_core.stores.local import LocalStore
from tests.core.isic.faulty import FaultyServer
from tests.core.isic.folders import MELANOMA, NEVUS, isic_id, row, write_folder

SAMPLES = Path(__file__).parent / "samples"
QUICK = Patience(attempts=1, connect_seconds=2, read_seconds=2, request_seconds=10)
Rows = list[dict[str, str]]


def statement(number: int, licence: str = "CC-0", **facts: Any) -> Statement:
    return Statement(isic_id(number), licence, "Clinic A", {**NEVUS, **facts})


def sample(name: str) -> Rows:
    with (SAMPLES / f"may-2026-{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def statements(rows: Rows) -> list[Statement]:
    own = ("isic_id", "copyright_license", "attribution")
    return [
        Statement(
            each["isic_id"],
            each["copyright_license"],
            each["attribution"],
            facts_from_cells({name: text for name, text in each.items() if name not in own}),
        )
        for each in rows
    ]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


class Archive:
    """A mirror whose folder changes between two looks at it."""

    def __init__(self, store: LocalStore, place: Path) -> None:
        self.store, self.place, self.n_looks = store, place, 0

    def snapshot(self, rows: Rows, **source: Any) -> str:
        with self._served(rows) as url:
            return ingest(ArchiveSource(url=url, **source), self.store, clock=self.clock).id

    def clock(self) -> datetime.datetime:
        """Time is kept in whole seconds, and two snapshots of one test must not be of the same."""
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(days=self.n_looks)

    def watch(
        self, rows: Rows, accept: Sequence[str] = (), collection: Sequence[str] = (), **asked: Any
    ) -> WatchReport:
        with self._served(rows, collection) as url:
            source = ArchiveSource(url=url, **asked)
            listing = list_archive(source, self.store)
            return watch(source, listing, self.store, accept=accept, patience=QUICK)

    def _served(self, rows: Rows, collection: Sequence[str] = ()) -> Any:
        self.n_looks += 1
        folder = write_folder(self.place / f"archive-{self.n_looks}", rows)
        if collection:
            content = [{"id": 65, "name": "Challenge", "images": list(collection)}]
            (folder / "collections.json").write_text(json.dumps(content))
        return running_mirror(folder)


@pytest.fixture
def archive(store: LocalStore, tmp_path: Path) -> Archive:
    return Archive(store, tmp_path)


def many(n_images: int = 12) -> Rows:
    return [row(number, age_approx="45", sex="male", anatom_site_1="Head and neck") for number in range(n_images)]


def test_an_unchanged_archive_is_quiet(archive: Archive) -> None:
    assert "nothing to compare" in archive.watch(many()).in_words()
    archive.snapshot(many())
    report = archive.watch(many())
    assert not report.has_changes
    assert report.rows() == []
    assert "Nothing has changed" in report.in_words()
    report.require_steady()


def test_each_kind_of_change_is_reported_with_its_images(archive: Archive) -> None:
    archive.snapshot(many())
    rows = [*many()[1:], row(77, anatom_site_1="Elbow of the sea", diagnosis_3="Blue nevus", tbp_tile_type="2D")]
    rows[3] |= MELANOMA
    rows[4] |= {"copyright_license": "CC-BY"}
    report = archive.watch(rows)
    changes = report.changes
    assert changes is not None
    assert changes.new.first == (isic_id(77),)
    assert report.withdrawn == (isic_id(0),)
    assert [(each.isic_id, each.after) for each in changes.relabelled.first] == [
        (isic_id(4), " / ".join(MELANOMA.values()))
    ]
    assert [(each.isic_id, each.before, each.after) for each in changes.relicensed.first] == [
        (isic_id(5), "CC-0", "CC-BY")
    ]
    assert {(each.field, each.value, each.n_mapped) for each in changes.new_values if each.n_mapped == 0} == {
        ("anatom_site_1", "Elbow of the sea", 0),
        ("diagnosis_3", "Blue nevus", 0),
    }
    assert ("copyright_license", "CC-BY", 1) in {(e.field, e.value, e.n_mapped) for e in changes.new_values}
    rows = {str(each["change"]): each for each in report.rows()}
    assert rows["new field"]["examples"] == "tbp_tile_type"
    assert isic_id(0) in str(rows["withdrawn"]["examples"])
    assert "1 new images, 1 withdrawn, 1 relabelled, 1 under another licence" in report.in_words()
    report.require_steady()  # single images are corrected all the time


def test_a_withdrawn_image_is_noted_for_good(archive: Archive, store: LocalStore) -> None:
    snapshot = archive.snapshot(many())
    assert archive.watch(many()[2:]).withdrawn == (isic_id(0), isic_id(1))
    assert withdrawn_ids(store) == {isic_id(0), isic_id(1)}
    note = read_withdrawal(store, isic_id(0))
    assert note.last_seen == snapshot
    assert note.archive.startswith("http://127.0.0.1")
    assert archive.watch(many()[2:]).withdrawn == (isic_id(0), isic_id(1))  # until the next snapshot, reported again
    assert read_withdrawal(store, isic_id(0)) == note
    assert archive.watch(many()).listed_again == (isic_id(0), isic_id(1))


def test_what_left_the_collection_is_not_withdrawn(archive: Archive, store: LocalStore) -> None:
    everything = [each["isic_id"] for each in many()]
    with archive._served(many(), everything) as url:
        ingest(ArchiveSource(url=url, collections=(65,)), store)
    report = archive.watch(many(), collection=everything[1:], collections=(65,))
    assert report.withdrawn == ()
    assert report.n_left == 1
    assert withdrawn_ids(store) == set()


def test_half_a_collection_gone_is_refused_before_anything_is_asked(archive: Archive, store: LocalStore) -> None:
    archive.snapshot(many(44))
    report = archive.watch(many(44)[22:])
    assert report.n_unasked == 22
    assert withdrawn_ids(store) == set()
    with pytest.raises(SchemaDrift, match=r"22 images,  50.0% of images, are gone") as caught:
        report.require_steady()
    assert "accept: [images]" in str(caught.value)
    assert len(archive.watch(many(44)[22:], accept=["images"]).withdrawn) == 22
    assert len(withdrawn_ids(store)) == 22


def test_an_archive_that_knows_nobody_withdraws_nothing(
    archive: Archive, store: LocalStore, faulty: FaultyServer
) -> None:
    """Behind a wrong address every question is answered 404."""
    archive.snapshot(many())
    with archive._served(many()[1:]) as url:
        listing = list_archive(ArchiveSource(url=url), store)
    with pytest.raises(SourceResponseError, match=f"expected .* to know {isic_id(1)}, which it lists"):
        watch(ArchiveSource(url=faulty.url), listing, store, patience=QUICK)
    assert withdrawn_ids(store) == set()


def test_only_listings_of_one_question_are_compared(archive: Archive, store: LocalStore) -> None:
    archive.snapshot(many(), query="sex:male")
    report = archive.watch(many()[:6])
    assert report.previous is None
    assert withdrawn_ids(store) == set()


def test_a_refused_listing_does_not_become_the_measure(archive: Archive, store: LocalStore) -> None:
    archive.snapshot(many())
    without_sex = [{**each, "sex": ""} for each in many()]
    for _ in range(2):
        with pytest.raises(SchemaDrift):
            archive.watch(without_sex).require_steady()
    archive.snapshot(without_sex)  # by hand: somebody ingested it all the same
    archive.watch(without_sex).require_steady()


def test_the_change_of_may_2026_stops_the_run_with_a_diff(archive: Archive) -> None:
    """``anatom_site_general`` gave way to five levels and ``anatom_site_special``."""
    archive.snapshot(sample("before"))
    report = archive.watch(sample("after"))
    with pytest.raises(SchemaDrift) as caught:
        report.require_steady()
    message = str(caught.value)
    assert "\n-anatom_site_general" in message
    assert "'anterior torso'" in message
    for name in ("anatom_site_1", "anatom_site_2", "anatom_site_3", "anatom_site_special"):
        assert f"\n+{name}" in message
    assert "\n--- isic/" in message
    assert "\n+++ isic/" in message
    assert "accept: [anatom_site_general]" in message  # the taxonomy knows both, so no site is lost
    assert caught.value.missing == ["anatom_site_general"]
    archive.watch(sample("after"), accept=["anatom_site_general"]).require_steady()


def test_the_same_change_backwards_stops_the_run_too() -> None:
    changes = compare(statements(sample("after")), statements(sample("before")))
    names = {each.name for each in find_drift(changes)}
    assert names == {"anatom_site_1", "anatom_site_2", "anatom_site_3", "anatom_site_special"}


def test_a_site_that_nobody_maps_stops_the_run_although_no_field_is_missing() -> None:
    before = sample("after")
    after = [{**each, "anatom_site_2": each["anatom_site_2"].replace("Anterior", "Ventral")} for each in before]
    changes = compare(statements(before), statements([*after, row(99)]))
    assert find_drift(changes) == ()  # three images: a correction
    many_before = [dict(each, isic_id=isic_id(n * 100 + i)) for n in range(3) for i, each in enumerate(before)]
    many_after = [dict(each, isic_id=isic_id(n * 100 + i)) for n in range(3) for i, each in enumerate(after)]
    drift = find_drift(compare(statements(many_before), statements(many_after)))
    assert [each.name for each in drift] == ["site"]
    assert "9 have none now" in "\n".join(drift[0].lines)
    assert "Trunk / Anterior trunk → Trunk / Ventral trunk" in "\n".join(drift[0].lines)


def test_a_rare_class_that_loses_its_name_is_not_hidden_by_the_others() -> None:
    fibroma = {
        "diagnosis_2": "Benign soft tissue proliferations - Fibro-histiocytic",
        "diagnosis_3": "Dermatofibroma",
    }
    renamed = {**fibroma, "diagnosis_3": "Fibrous histiocytoma"}
    common = [statement(number) for number in range(6, 1000)]
    before = [statement(number, **fibroma) for number in range(6)]
    after = [statement(number, **renamed) for number in range(6)]
    drift = find_drift(compare(before + common, after + common))
    assert [each.name for each in drift] == ["class"]
    assert "class DF" in drift[0].lines[0]


def test_a_new_collection_with_few_facts_is_no_drift() -> None:
    before = [statement(number, sex="male") for number in range(50)]
    assert find_drift(compare(before, [*before, *(statement(number) for number in range(50, 500))])) == ()


def test_a_field_that_fades_is_drift_and_a_few_corrections_are_not() -> None:
    before = [statement(number, sex="male") for number in range(200)]
    few = [statement(number) if number < 10 else before[number] for number in range(200)]
    faded = [statement(number) if number < 11 else before[number] for number in range(200)]
    assert find_drift(compare(before, few)) == ()
    assert [each.name for each in find_drift(compare(before, faded))] == ["sex", "sex"]


def test_a_field_that_left_with_its_images_is_no_drift() -> None:
    before = [statement(0, rcm_case_id="IRCM_1"), *(statement(number) for number in range(1, 40))]
    changes = compare(before, before[1:])
    assert find_drift(changes) == ()
    assert {each.name: each.n_current for each in changes.fields}["rcm_case_id"] == 0


@given(
    before=st.dictionaries(st.integers(0, 30), st.sampled_from(["CC-0", "CC-BY"]), max_size=20),
    after=st.dictionaries(st.integers(0, 30), st.sampled_from(["CC-0", "CC-BY"]), max_size=20),
)
def test_comparing_is_set_arithmetic(before: dict[int, str], after: dict[int, str]) -> None:
    changes = compare(
        [statement(number, licence) for number, licence in sorted(before.items())],
        [statement(number, licence) for number, licence in sorted(after.items())],
    )
    assert set(changes.new.first) == {isic_id(number) for number in after.keys() - before.keys()}
    assert set(changes.gone.first) == {isic_id(number) for number in before.keys() - after.keys()}
    both = before.keys() & after.keys()
    assert changes.n_common == len(both)
    assert {each.isic_id for each in changes.relicensed.first} == {
        isic_id(number) for number in both if before[number] != after[number]
    }


def test_a_listing_out_of_order_is_refused() -> None:
    with pytest.raises(ManifestError, match=f"got {isic_id(1)} after {isic_id(2)}"):
        compare([statement(2), statement(1)], [])


def test_memory_is_not_that_of_the_images() -> None:
    def listing(n_images: int, shift: int) -> Iterator[Statement]:
        return (
            statement(number, sex="male", note=f"free text {number}") for number in range(shift, n_images + shift)
        )

    def peak(n_images: int) -> int:
        tracemalloc.start()
        compare(listing(n_images, 0), listing(n_images, n_images // 2))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak_bytes

    peak(100)  # what is allocated once
    assert peak(4000) < 4000 * 80  # a statement takes some 600 bytes


def test_vocabulary_that_turns_into_free_text_stays_bounded() -> None:
    texts = [statement(number, anatom_site_special=f"see letter {number}") for number in range(6000)]
    assert len(compare([], texts).new_values) < 5100


def test_the_previous_listing_is_that_of_the_newest_snapshot(archive: Archive, store: LocalStore) -> None:
    archive.snapshot(many())
    newest = archive.snapshot(many()[1:])
    with archive._served(many()[2:]) as url:
        listing = list_archive(ArchiveSource(url=url), store)
    previous = find_previous(store, "isic", listing)
    assert previous is not None
    assert previous.snapshot_id == newest
    assert previous.listing.key == listing_key("isic", previous.listing.id.partition("/")[2])
    assert len(read_images(store, f"snapshots/{newest}", archive.place / "cache")) == 11


def test_a_note_stays_whatever_is_noted_later(store: LocalStore) -> None:
    assert note_withdrawn(store, [isic_id(1)], archive="http://a", last_seen="isic/1") == 1
    assert note_withdrawn(store, [isic_id(1), isic_id(2)], archive="http://b", last_seen="isic/2") == 1
    assert read_withdrawal(store, isic_id(1)).archive == "http://a"
