"""Whom an image is attributed to, and what is said where a source asks for what cannot be had that way."""

import json
import logging
from pathlib import Path

import pytest

from lesion_core.errors import ShortfallError, SourceResponseError, SourceUnavailable
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.snapshot import read_images
from lesion_core.isic.source import ArchiveSource
from lesion_core.refs import SnapshotRef
from lesion_core.stores.folders import list_folders
from lesion_core.stores.local import LocalStore
from tests.core.isic.bulks import SEARCH, TABLE, offer, table
from tests.core.isic.faulty import FaultyServer, listed, page, send
from tests.core.isic.folders import isic_id, jpeg, row, write_folder

QUICK = Patience(attempts=2, first_wait_seconds=0.01, connect_seconds=2, read_seconds=2, request_seconds=10)
HTML = "<!doctype html><html><head><title>ISIC Archive</title></head><body>…</body></html>"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def run(url: str, store: LocalStore, **options: object) -> SnapshotRef:
    return ingest(ArchiveSource.model_validate({"url": url, **options}), store, patience=QUICK)


def offer_two_attributions(server: FaultyServer) -> None:
    """Name the cohort's default in the pages, and the image's own in the table of one image."""
    own = {1: {"attribution": "Dr Own"}, 2: {"attribution": ""}}
    offer(server, counts=[], tables=[table([1, 2], own)], files=[{1, 2}])
    rows = [{**listed(n, f"{server.host}/{n}.jpg"), "attribution": "The cohort"} for n in (1, 2)]
    server.answers[SEARCH] = [send(page(rows, 2))]


def credited(store: LocalStore) -> set[object]:
    return {index.inputs["credited"] for _, index, _ in list_folders(store, "listings/")}


@pytest.mark.parametrize("options", [{"listing": "pages"}, {"ids": (isic_id(1), isic_id(2))}])
def test_by_pages_an_image_is_credited_as_in_bulk(
    faulty: FaultyServer, store: LocalStore, tmp_path: Path, options: dict[str, object]
) -> None:
    offer_two_attributions(faulty)
    images = read_images(store, run(faulty.url, store, **options), tmp_path)
    assert images["attribution"].tolist() == ["Dr Own", "The cohort"]  # an empty cell says nothing
    assert credited(store) == {"image"}


def test_ids_are_asked_for_in_the_table_as_in_the_pages(faulty: FaultyServer, store: LocalStore) -> None:
    offer_two_attributions(faulty)
    run(faulty.url, store, ids=(isic_id(1), isic_id(2)), query="sex:male", collections=(65,))
    asked = {"query": f"(sex:male) AND (isic_id:{isic_id(1)} OR isic_id:{isic_id(2)})", "collections": [65]}
    assert [json.loads(body) for body in faulty.bodies] == [asked]


def test_where_only_the_cohorts_is_to_be_had_that_is_said(
    faulty: FaultyServer, store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    offer_two_attributions(faulty)
    faulty.answers[TABLE] = [send({"detail": "Unauthorized"}, 401)]
    with caplog.at_level(logging.WARNING):
        snapshot = run(faulty.url, store)
    assert set(read_images(store, snapshot, tmp_path)["attribution"]) == {"The cohort"}
    assert credited(store) == {"cohort"}
    assert "attributed as their cohort is by default" in caplog.text


def test_pages_that_cannot_be_kept_apart_are_to_be_read_in_bulk(faulty: FaultyServer, store: LocalStore) -> None:
    rows = [listed(number) for number in range(100)]
    faulty.answers[SEARCH] = [send(page(rows, 250, f"{faulty.url}images/search/?limit=100"))]
    with pytest.raises(SourceResponseError, match=r"added to the archive in one moment.* listing to bulk") as caught:
        run(faulty.url, store, listing="pages")
    assert "report it" not in str(caught.value)


def test_a_query_that_the_archive_fails_on_names_the_fields(folder: Path, store: LocalStore) -> None:
    with running_mirror(folder) as url, pytest.raises(SourceUnavailable, match=r"500 .*leave blurry, hairy"):
        run(url, store, query="sex:male AND hairy:true")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [row(number, sex="male" if number < 3 else "female") for number in range(6)]
    folder = write_folder(tmp_path / "archive", rows)
    members = [{"id": 7, "name": "Some", "images": [isic_id(0), isic_id(4)]}]
    (folder / "collections.json").write_text(json.dumps(members))
    return folder


@pytest.mark.parametrize(
    ("options", "filters", "left_out"),
    [
        ({"query": "sex:male"}, "the source's query", 4),
        ({"collections": (7,)}, "the source's collections", 1),
        (
            {"query": "sex:male OR sex:female", "collections": (7,)},
            "the source's query and the source's collections",
            1,
        ),
    ],
)
def test_an_id_that_the_query_leaves_out_is_not_called_unknown(
    folder: Path, store: LocalStore, options: dict[str, object], filters: str, left_out: int
) -> None:
    ids = (isic_id(0), isic_id(left_out), isic_id(99))
    with running_mirror(folder) as url, pytest.raises(ShortfallError) as caught:
        run(url, store, ids=ids, **options)
    assert f"{isic_id(left_out)}: the archive has it, but it does not meet {filters}" in str(caught.value)
    assert f"{isic_id(99)}: the archive does not list it: unknown or not public" in str(caught.value)
    assert caught.value.n_missing == 2


@pytest.mark.parametrize("path", ["/", "/api/", "/api/v2/images/", ""])
@pytest.mark.parametrize(
    ("status", "body"), [(404, HTML), (403, HTML), (200, HTML), (404, '{"detail": "Not Found"}')]
)
def test_an_address_that_is_not_the_apis_is_answered_with_the_one_that_may_be_meant(
    faulty: FaultyServer, store: LocalStore, path: str, status: int, body: str
) -> None:
    faulty.answers["*"] = [send(body, status)]
    with pytest.raises(SourceResponseError) as caught:
        run(f"{faulty.host}{path}", store)
    message = str(caught.value)
    assert "<" not in message
    assert f"set the source's url or LESION_ARCHIVE_URL to {faulty.host}/api/v2/" in message
    assert caught.value.context.get("status") in (status, None)


def test_the_apis_own_address_is_left_alone(faulty: FaultyServer) -> None:
    with (
        ArchiveClient(faulty.url.rstrip("/"), patience=QUICK) as client,
        pytest.raises(SourceResponseError) as caught,
    ):
        client.image(isic_id(1))
    assert "LESION_ARCHIVE_URL to" not in str(caught.value)


def test_a_mirror_behind_a_path_is_read(folder: Path, store: LocalStore, faulty: FaultyServer) -> None:
    """A proxy may keep the API elsewhere: nothing is refused that answers."""
    rows = [listed(1, f"{faulty.host}/1.jpg")]
    faulty.answers["/isic/images/search/"] = [send(page(rows, 1))]
    faulty.answers["/1.jpg"] = [send(jpeg(1))]
    assert run(f"{faulty.host}/isic/", store).n_images == 1
