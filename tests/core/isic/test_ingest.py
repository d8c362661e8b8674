import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from lesion_core.errors import (
    ConfigError,
    ManifestError,
    ShortfallError,
    SourceResponseError,
    SourceUnavailable,
    StoreRefused,
)
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing import bulk_listing
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.snapshot import IMAGES_SCHEMA, ISSUES_SCHEMA, read_images, read_issues
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.watch.survey import survey
from lesion_core.progress import Progress
from lesion_core.refs import SnapshotRef
from lesion_core.stores.folders import find, materialise
from lesion_core.stores.local import LocalStore
from tests.core.isic.faulty import FaultyServer, hang_up, listed, page, send
from tests.core.isic.folders import MELANOMA, VASCULAR, isic_id, jpeg, row, write_folder

QUICK = Patience(attempts=2, first_wait_seconds=0.01, connect_seconds=2, read_seconds=2, request_seconds=10)
SEARCH = "/api/v2/images/search/"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty usual images, and one row for each thing that may be wrong with a row."""
    rows = [row(number, age_approx="45", sex="male", anatom_site_1="Head and neck") for number in range(20)]
    rows[1] |= {"copyright_license": "CC-BY-NC", "lesion_id": "IL_0000001", "patient_id": "IP_0000001"}
    rows[2] |= {**MELANOMA, "diagnosis_confirm_type": "histopathology"}
    rows[3] |= {"diagnosis_3": "Lentigo simplex"}
    rows[4] |= {"anatom_site_1": "Left thigh, see letter"}
    rows[5] |= {"sex": "?", "age_approx": "old"}
    rows[6] |= {"age_approx": "", "sex": "", "anatom_site_1": ""}
    rows[7] |= {"image_manipulation": "synthetic"}
    return write_folder(tmp_path / "archive", rows)


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    with running_mirror(folder) as url:
        yield url


def source_of(url: str, **options: object) -> ArchiveSource:
    return ArchiveSource.model_validate({"url": url, "connections": 4, **options})


def images_of(store: LocalStore, snapshot: SnapshotRef, tmp_path: Path) -> pd.DataFrame:
    return read_images(store, snapshot, tmp_path / "cache").set_index("isic_id")


def issues_of(store: LocalStore, snapshot: SnapshotRef, tmp_path: Path) -> list[tuple[str, ...]]:
    issues = read_issues(store, snapshot, tmp_path / "cache")
    return list(issues[["isic_id", "stage", "outcome", "field", "value"]].itertuples(index=False, name=None))


def archived(store: LocalStore) -> list[str]:
    return list(store.list("archive/"))


def test_images_arrive_with_their_metadata(url: str, folder: Path, store: LocalStore, tmp_path: Path) -> None:
    snapshot = ingest(source_of(url), store)
    assert (snapshot.n_images, snapshot.n_excluded) == (19, 1)
    assert (snapshot.licence, snapshot.synthetic) == ("CC-BY-NC", True)
    assert snapshot.name == "isic"
    images = images_of(store, snapshot, tmp_path)
    assert list(images.index) == sorted(images.index)
    for name, image in images.iterrows():
        body = (folder / f"{name}.jpg").read_bytes()
        assert store.read(image.image_key) == body
        assert image.sha256 == hashlib.sha256(body).hexdigest()
        assert image.image_key == f"archive/{name}/{image.sha256}.jpg"
        assert (image.n_bytes, image.width, image.height) == (len(body), 40, 30)
    first, melanoma, bare = images.loc[isic_id(1)], images.loc[isic_id(2)], images.loc[isic_id(6)]
    assert (first.diagnosis, first.age_years, first.sex, first.site) == ("NV", 45.0, "male", "head/neck")
    assert (first.licence, first.lesion_id, first.patient_id) == ("CC-BY-NC", "IL_0000001", "IP_0000001")
    assert (melanoma.diagnosis, melanoma.confirm_type) == ("MEL", "histopathology")
    assert bare[["age_years", "sex", "site", "lesion_id", "patient_id", "confirm_type"]].isna().all()
    assert list(images.index[images.is_synthetic]) == [isic_id(7)]
    assert json.loads(str(melanoma.raw_metadata))["diagnosis_3"] == "Melanoma, NOS"


def test_what_is_left_out_or_unknown_is_in_the_issues(url: str, store: LocalStore, tmp_path: Path) -> None:
    assert issues_of(store, ingest(source_of(url), store), tmp_path) == [
        (isic_id(3), "label", "excluded", "diagnosis_3", "Lentigo simplex"),
        (isic_id(4), "metadata", "set to unknown", "anatom_site_1", "Left thigh, see letter"),
        (isic_id(5), "metadata", "set to unknown", "age_approx", "old"),
        (isic_id(5), "metadata", "set to unknown", "sex", "?"),
    ]


def test_the_tables_have_the_promised_columns(url: str, store: LocalStore, tmp_path: Path) -> None:
    files = materialise(store, ingest(source_of(url), store), tmp_path)
    assert pq.read_schema(files / "images.parquet").equals(IMAGES_SCHEMA)
    assert pq.read_schema(files / "issues.parquet").equals(ISSUES_SCHEMA)


def test_a_second_ingest_downloads_nothing_wherever_the_archive_stands(folder: Path, store: LocalStore) -> None:
    with running_mirror(folder) as url:
        first = ingest(source_of(url), store)
    for path in folder.glob("*.jpg"):
        path.write_bytes(jpeg(1)[:700])  # whoever fetched it would notice
    before = archived(store)
    with running_mirror(folder) as url:  # another port
        for listing in ("bulk", "pages"):
            assert ingest(source_of(url, listing=listing), store) == first
    assert archived(store) == before


def test_an_unchanged_archive_is_not_even_asked_for_files(url: str, store: LocalStore) -> None:
    first = ingest(source_of(url), store)
    before = list(store.list(""))
    news: list[Progress] = []
    assert ingest(source_of(url), store, on_progress=news.append) == first
    assert {item.stage for item in news} == {"list"}
    assert list(store.list("")) == before


@pytest.mark.parametrize(
    "change",
    [{"licences": ("CC-0",)}, {"limit": 8}, {"limit": 8, "seed": 3}, {"tolerance": 0.5}, {"query": "sex:male"}],
)
def test_another_choice_is_another_snapshot(url: str, store: LocalStore, change: dict[str, object]) -> None:
    assert ingest(source_of(url, **change), store).id != ingest(source_of(url), store).id


def test_a_seed_without_a_limit_changes_nothing(url: str, store: LocalStore) -> None:
    assert ingest(source_of(url, seed=1), store) == ingest(source_of(url, seed=2), store)


def test_changed_metadata_is_another_snapshot_of_the_same_bytes(folder: Path, store: LocalStore) -> None:
    with running_mirror(folder) as url:
        first = ingest(source_of(url), store)
    before = archived(store)
    table = folder / "metadata.csv"
    table.write_text(table.read_text().replace("Head and neck", "Lower extremity"))
    for path in folder.glob("*.jpg"):
        path.unlink()  # so a transfer would fail
    with running_mirror(folder) as url:
        second = ingest(source_of(url), store)
    assert second.id != first.id
    assert second.n_images == first.n_images
    assert archived(store) == before


def test_a_licence_that_is_not_accepted_excludes_with_a_reason(url: str, store: LocalStore, tmp_path: Path) -> None:
    snapshot = ingest(source_of(url, licences=("CC-0", "CC-BY")), store)
    assert snapshot.licence == "CC-0"
    assert isic_id(1) not in images_of(store, snapshot, tmp_path).index
    excluded = (isic_id(1), "metadata", "excluded", "copyright_license", "CC-BY-NC")
    assert excluded in issues_of(store, snapshot, tmp_path)
    assert not any(isic_id(1) in key for key in archived(store))


def test_a_limit_draws_a_sample_and_downloads_nothing_else(url: str, store: LocalStore) -> None:
    assert ingest(source_of(url, limit=8), store).n_images == 8
    assert len(archived(store)) == 8


def spoil(folder: Path) -> None:
    """Plant a missing file, a truncated image, and a page of HTML."""
    (folder / f"{isic_id(8)}.jpg").unlink()
    truncated = folder / f"{isic_id(9)}.jpg"
    truncated.write_bytes(truncated.read_bytes()[:400])
    (folder / f"{isic_id(10)}.jpg").write_bytes(b"<!doctype html><title>Sign in</title>")


def test_images_that_do_not_arrive_fail_the_run_and_the_others_stay(folder: Path, store: LocalStore) -> None:
    spoil(folder)
    with running_mirror(folder) as url, pytest.raises(ShortfallError) as caught:
        ingest(source_of(url, tolerance=0.1), store)
    assert (caught.value.n_missing, caught.value.n_wanted) == (3, 19)
    message = str(caught.value)
    for fragment in (isic_id(8), "404 Not Found", isic_id(9), "cut short", isic_id(10), "HTML page", "tolerance"):
        assert fragment in message
    assert len(archived(store)) == 16
    assert not list(store.list("snapshots/"))


def test_within_the_tolerance_they_are_excluded_with_reasons(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    spoil(folder)
    with running_mirror(folder) as url:
        snapshot = ingest(source_of(url, tolerance=0.2), store)
    assert (snapshot.n_images, snapshot.n_excluded) == (16, 4)
    excluded = [issue for issue in issues_of(store, snapshot, tmp_path) if issue[3] == "file"]
    assert excluded == [
        (isic_id(8), "download", "excluded", "file", f"{isic_id(8)}.jpg"),
        (isic_id(9), "decode", "excluded", "file", f"{isic_id(9)}.jpg"),
        (isic_id(10), "decode", "excluded", "file", f"{isic_id(10)}.jpg"),
    ]


def test_a_rerun_asks_only_for_what_is_missing(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    spoil(folder)
    with running_mirror(folder) as url, pytest.raises(ShortfallError):
        ingest(source_of(url), store)
    for path in folder.glob("*.jpg"):
        path.unlink()
    for number in (8, 9, 10):
        (folder / f"{isic_id(number)}.jpg").write_bytes(jpeg(number))
    with running_mirror(folder) as url:
        assert ingest(source_of(url), store).n_images == 19


def test_stored_bytes_that_were_damaged_are_fetched_again(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    spoil(folder)
    with running_mirror(folder) as url:
        with pytest.raises(ShortfallError):
            ingest(source_of(url), store)
        damaged, swapped = archived(store)[0], archived(store)[1]
        store.write(damaged, b"no image")
        store.write(swapped, jpeg(99))
        snapshot = ingest(source_of(url, tolerance=0.3), store)
    for image in images_of(store, snapshot, tmp_path).itertuples():
        assert hashlib.sha256(store.read(str(image.image_key))).hexdigest() == image.sha256


def test_what_a_camera_wrote_into_a_file_stays_in_the_raw_bytes_alone(
    folder: Path, store: LocalStore, tmp_path: Path
) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010E] = "Mrs Example, 7 March"  # ImageDescription
    exif[0x0112] = 6  # lies on its side
    body = jpeg(1, exif=exif)
    (folder / f"{isic_id(0)}.jpg").write_bytes(body)
    with running_mirror(folder) as url:
        snapshot = ingest(source_of(url), store)
    image = images_of(store, snapshot, tmp_path).loc[isic_id(0)]
    assert store.read(str(image.image_key)) == body
    assert (image.width, image.height) == (30, 40)
    assert "Example" not in str(image.to_dict())


def test_an_archive_that_falls_silent_ends_the_run_soon_and_may_be_tried_again(
    faulty: FaultyServer, store: LocalStore
) -> None:
    rows = [listed(number, f"{faulty.host}/{number}.jpg") for number in range(90)]
    faulty.answers[SEARCH] = [send(page(rows, 90))]
    faulty.answers["/3.jpg"] = [send(jpeg(3))]
    faulty.answers["*"] = [hang_up()]
    with pytest.raises(SourceUnavailable, match="downloads in a row failed") as caught:
        ingest(source_of(faulty.url), store, patience=QUICK)
    assert caught.value.transient
    assert len(archived(store)) == 1
    assert len(faulty.requests) < 90


def test_a_passing_fault_gets_one_more_round(faulty: FaultyServer, store: LocalStore) -> None:
    rows = [listed(number, f"{faulty.host}/{number}.jpg") for number in range(4)]
    faulty.answers[SEARCH] = [send(page(rows, 4))]
    faulty.answers["*"] = [send(jpeg(1))]
    faulty.answers["/2.jpg"] = [hang_up(), hang_up(), send(jpeg(2))]  # two attempts make a round
    assert ingest(source_of(faulty.url), store, patience=QUICK).n_images == 4


def test_a_body_cut_to_a_wrong_length_does_not_pass_for_an_image(
    faulty: FaultyServer, store: LocalStore, tmp_path: Path
) -> None:
    rows = [listed(number, f"{faulty.host}/{number}.jpg") for number in range(3)]
    faulty.answers[SEARCH] = [send(page(rows, 3))]
    faulty.answers["*"] = [send(jpeg(1))]
    faulty.answers["/2.jpg"] = [send(jpeg(2), stated=len(jpeg(2)) - 300)]
    snapshot = ingest(source_of(faulty.url, tolerance=0.5), store, patience=QUICK)
    assert issues_of(store, snapshot, tmp_path) == [(isic_id(2), "decode", "excluded", "file", "2.jpg")]


def test_a_lost_row_is_reported(faulty: FaultyServer, store: LocalStore, tmp_path: Path) -> None:
    rows = [listed(number, f"{faulty.host}/{number}.jpg") for number in range(4)]
    faulty.answers[SEARCH] = [send(page([*rows, rows[0]], 6))]
    faulty.answers["*"] = [send(jpeg(1))]
    with pytest.raises(ShortfallError, match="counted 6 images and listed 4"):
        ingest(source_of(faulty.url), store, patience=QUICK)
    snapshot = ingest(source_of(faulty.url, tolerance=0.4), store, patience=QUICK)
    assert (snapshot.n_images, snapshot.n_excluded) == (4, 2)
    assert issues_of(store, snapshot, tmp_path) == [("", "metadata", "excluded", "count", "6")]


def test_classes_without_a_third_level_are_kept(tmp_path: Path, store: LocalStore) -> None:
    rows = [{**row(number), "diagnosis_3": "", **VASCULAR} for number in range(3)]
    with running_mirror(write_folder(tmp_path / "archive", rows)) as url:
        snapshot = ingest(source_of(url), store)
    assert set(images_of(store, snapshot, tmp_path).diagnosis) == {"VASC"}


def test_nothing_that_matches_is_a_request_that_cannot_be_meant(url: str, store: LocalStore) -> None:
    with pytest.raises(ConfigError, match="found none"):
        ingest(source_of(url, query="diagnosis_3:nevus"), store)


def test_nothing_usable_names_the_reasons(url: str, store: LocalStore) -> None:
    with pytest.raises(ManifestError, match="1 × diagnosis_3 'Lentigo simplex' is none of the eight classes"):
        ingest(source_of(url, query='diagnosis_3:"Lentigo simplex"'), store)
    with pytest.raises(ManifestError, match="licence"):
        ingest(source_of(url, licences=("CC-BY",)), store)


class FullStore(LocalStore):
    """A store whose disk is full after some objects."""

    def __init__(self, root: Path, room_for: int) -> None:
        super().__init__(root)
        self._room = threading.Semaphore(room_for)

    def stage(self, key: str, body: bytes) -> None:
        if not self._room.acquire(blocking=False):
            raise StoreRefused("expected room, but the disk is full; free space")
        super().stage(key, body)


def test_a_full_disk_ends_the_run_with_its_own_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="disk is full"):
        ingest(source_of(url), FullStore(tmp_path / "full", 5))
    left = LocalStore(tmp_path / "full")
    assert len(archived(left)) == 5
    assert not list(left.list("snapshots/"))


def test_a_listing_in_bulk_says_how_far_it_is(url: str, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_listing, "_ROWS_BETWEEN_NEWS", 8)
    news: list[Progress] = []
    ingest(source_of(url), store, on_progress=news.append)
    for message in ("table of metadata", "list of files"):
        assert [item.done for item in news if item.message == message] == [8, 16]


def test_progress_tells_stage_and_share(url: str, store: LocalStore) -> None:
    news: list[Progress] = []
    ingest(source_of(url), store, on_progress=news.append)
    listed = [item for item in news if item.stage == "list"]
    ways = ["table of metadata on its way", "list of files on its way"]
    assert listed[:2] == [Progress(stage="list", done=0, total=20, message=way) for way in ways]
    assert listed[-1] == Progress(stage="list", done=20, total=20, message="bulk")
    downloads = [item for item in news if item.stage == "download"]
    assert [item.done for item in downloads] == list(range(1, 20))
    assert {item.total for item in downloads} == {19}


def test_a_snapshot_is_named_by_what_it_depends_on(url: str, store: LocalStore) -> None:
    snapshot = ingest(source_of(url, limit=8, seed=5), store, name="ward")
    found = find(store, snapshot.key)
    assert found is not None
    index, sha256 = found
    assert snapshot.key.startswith("snapshots/ward/")
    assert sha256 == snapshot.sha256
    assert (index.inputs["limit"], index.inputs["seed"]) == (8, 5)
    assert url not in index.model_dump_json()


def test_a_survey_tells_number_bytes_and_licences(url: str, folder: Path) -> None:
    found = survey(source_of(url, limit=10, licences=("CC-0",)))
    assert found.n_images == 20
    assert found.stated_bytes == sum(path.stat().st_size for path in folder.glob("*.jpg"))
    assert found.licences == {"CC-0": 19, "CC-BY": 0, "CC-BY-NC": 1}
    words = found.in_words()
    for fragment in ("20 images", "19 CC-0, 1 CC-BY-NC", "19 of them under an accepted licence", "about 10"):
        assert fragment in words


def test_a_survey_of_a_query_counts_within_it(url: str) -> None:
    found = survey(source_of(url, query=f"isic_id:{isic_id(1)} OR isic_id:{isic_id(2)}"))
    assert found.licences == {"CC-0": 1, "CC-BY": 0, "CC-BY-NC": 1}


def test_a_survey_needs_only_the_count(faulty: FaultyServer) -> None:
    faulty.answers[SEARCH] = [send(page([], 7)), send("{}", 422)]
    found = survey(source_of(faulty.url))
    assert (found.n_images, found.stated_bytes, found.licences) == (7, None, {})
    assert "unstated size" in found.in_words()


def test_a_survey_of_a_bad_query_says_so(url: str) -> None:
    with pytest.raises(SourceResponseError, match="could not parse"):
        survey(source_of(url, query="Nevus"))
