"""Both ways to read a listing fill the catalogue alike, and neither loses or invents an image."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from lesion_core.errors import SourceResponseError
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.listing.catalogue import Catalogue, CatalogueRow
from lesion_core.isic.listing.reading import Reading
from lesion_core.isic.listing.routes import read_listing
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.statements import Statement
from lesion_core.progress import ignore_progress
from tests.core.isic.faulty import FaultyServer, listed, page, send
from tests.core.isic.folders import MELANOMA, isic_id, row, write_folder

QUICK = Patience(attempts=2, first_wait_seconds=0.01, connect_seconds=2, read_seconds=2, request_seconds=10)
SEARCH = "/api/v2/images/search/"
BULK = "/api/v2/zip-download"


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(tmp_path / "scratch" / "catalogue.sqlite") as catalogue:
        yield catalogue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Cells of every type that the archive has, and one that a spreadsheet would take for a formula."""
    rows = [row(number, age_approx="45", melanocytic="True", mel_thick_mm="0.45") for number in range(250)]
    rows[3] |= {**MELANOMA, "attribution": '=HYPERLINK("x"), "Clinic B"\nBern'}
    rows[4] |= {"age_approx": "", "personal_hx_mm": "false", "acquisition_day": "12", "new_in_2027": "-3"}
    return write_folder(tmp_path / "archive", rows)


def read(url: str, catalogue: Catalogue, **options: object) -> Reading:
    source = ArchiveSource.model_validate({"url": url, **options})
    with ArchiveClient(url, patience=QUICK) as client:
        return read_listing(client, source, catalogue, ignore_progress)


def test_bulk_and_pages_say_the_same(folder: Path, tmp_path: Path) -> None:
    rows = {}
    with running_mirror(folder) as url:
        for listing in ("bulk", "pages"):
            with Catalogue(tmp_path / f"{listing}.sqlite") as catalogue:
                reading = read(url, catalogue, listing=listing)
                assert (reading.route, reading.n_stated, reading.n_repeated) == (listing, 250, 0)
                rows[listing] = list(catalogue.rows())
    assert rows["bulk"] == rows["pages"]
    assert [each.statement.isic_id for each in rows["bulk"]] == [isic_id(number) for number in range(250)]
    third, fourth = rows["bulk"][3].statement, rows["bulk"][4].statement
    assert third.attribution == '=HYPERLINK("x"), "Clinic B"\nBern'
    assert third.facts["age_approx"] == 45
    assert third.facts["melanocytic"] is True
    assert third.facts["mel_thick_mm"] == "0.45"
    assert "pixels_x" not in third.facts
    assert "age_approx" not in fourth.facts
    assert (fourth.facts["personal_hx_mm"], fourth.facts["acquisition_day"]) == (False, 12)
    assert fourth.facts["new_in_2027"] == "-3"
    assert str(rows["bulk"][3].url).endswith(f"/files/{isic_id(3)}.jpg")


@pytest.mark.parametrize(
    "criteria",
    [{"query": "melanocytic:true AND diagnosis_1:Malignant"}, {"collections": (1,)}, {"collections": (9,)}],
)
def test_both_routes_search_alike(folder: Path, tmp_path: Path, criteria: dict[str, object]) -> None:
    found = []
    with running_mirror(folder) as url:
        for listing in ("bulk", "pages"):
            with Catalogue(tmp_path / f"{listing}.sqlite") as catalogue:
                read(url, catalogue, listing=listing, **criteria)
                found.append([each.statement.isic_id for each in catalogue.rows()])
    assert found[0] == found[1]


def test_ids_are_asked_for_by_name_a_page_at_a_time(folder: Path, catalogue: Catalogue) -> None:
    wanted = (*(isic_id(number) for number in range(0, 250, 2)), isic_id(999))
    with running_mirror(folder) as url:
        reading = read(url, catalogue, ids=wanted, query="melanocytic:true")
    assert reading.route == "pages"
    assert len(catalogue) == 125
    assert list(catalogue.missing_of(wanted)) == [isic_id(999)]


def answer_bulk(faulty: FaultyServer, table: str, files: object) -> None:
    faulty.answers[f"{BULK}/url/"] = [send(json.dumps(f"{faulty.host}/download?zsid=abc").encode())]
    faulty.answers[f"{BULK}/metadata-file/"] = [send(table)]
    faulty.answers[f"{BULK}/file-listing/"] = [send(json.dumps(files).encode())]


TABLE = "isic_id,attribution,copyright_license,sex\n{rows}"
FILES = {"files": [{"url": "http://s3/ISIC_0000001.jpg", "zipPath": "ISIC_0000001.jpg"}]}


def test_the_token_goes_with_both_bulk_requests(faulty: FaultyServer, catalogue: Catalogue) -> None:
    answer_bulk(faulty, TABLE.format(rows="ISIC_0000001,A,CC-0,male\n"), FILES)
    faulty.answers[SEARCH] = [send(page([], 1))]
    read(faulty.url, catalogue, query="sex:male", collections=(65,))
    assert [json.loads(body) for body in faulty.bodies] == [{"query": "sex:male", "collections": [65]}]
    tokens = [parse_qs(urlsplit(target).query)["token"] for target in faulty.requests if "token" in target]
    assert tokens == [["abc"], ["abc"]]
    assert list(catalogue.rows()) == [
        CatalogueRow(Statement("ISIC_0000001", "CC-0", "A", {"sex": "male"}), "http://s3/ISIC_0000001.jpg")
    ]


@pytest.mark.parametrize("status", [401, 404, 405, 422, 500, 501])
def test_pages_are_read_where_bulk_is_not_to_be_had(
    faulty: FaultyServer, catalogue: Catalogue, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    faulty.answers[f"{BULK}/url/"] = [send("<html>no</html>", status)]
    faulty.answers[SEARCH] = [send(page([listed(1)], 1))]
    assert read(faulty.url, catalogue).route == "pages"
    assert len(catalogue) == 1
    assert "page by page" in caplog.text


def test_a_bulk_table_that_breaks_off_leaves_nothing_behind(faulty: FaultyServer, catalogue: Catalogue) -> None:
    answer_bulk(faulty, TABLE.format(rows="ISIC_0000007,A,CC-0,male\nnonsense"), FILES)
    faulty.answers[SEARCH] = [send(page([listed(1)], 1))]
    assert read(faulty.url, catalogue).route == "pages"
    assert [each.statement.isic_id for each in catalogue.rows()] == ["ISIC_0000001"]


@pytest.mark.parametrize(
    ("table", "files"),
    [
        ("id,x\n1,2\n", FILES),
        (TABLE.format(rows="ISIC_1,A,CC-0,male\n"), FILES),
        (TABLE.format(rows="ISIC_0000001,A,CC-0,male,too,many\n"), FILES),
        (TABLE.format(rows='ISIC_0000001,A,CC-0,"male\n'), FILES),
        ("<!doctype html><title>Welcome</title>", FILES),
        (TABLE.format(rows="ISIC_0000001,A,CC-0,male\n"), {"files": [{"path": "x"}]}),
        (TABLE.format(rows="ISIC_0000001,A,CC-0,male\n"), "no object"),
    ],
)
def test_a_bulk_table_of_another_form_is_refused_where_it_was_asked_for(
    faulty: FaultyServer, catalogue: Catalogue, table: str, files: object
) -> None:
    answer_bulk(faulty, table, files)
    faulty.answers[SEARCH] = [send(page([], 1))]
    with pytest.raises(SourceResponseError, match="page by page"):
        read(faulty.url, catalogue, listing="bulk")


def test_a_collections_table_stands_in_for_the_tokens(
    folder: Path, catalogue: Catalogue, faulty: FaultyServer
) -> None:
    answer_bulk(faulty, "", FILES)
    faulty.answers[f"{BULK}/metadata-file/"] = [send({"detail": "Not Found"}, 404)]
    faulty.answers["/collections/65/metadata/"] = [send(TABLE.format(rows="ISIC_0000001,A,CC-0,male\n"))]
    faulty.answers[SEARCH] = [send(page([], 1))]
    assert read(faulty.url, catalogue, listing="bulk", collections=(65,)).n_stated == 1
    assert len(catalogue) == 1


def test_files_without_a_row_and_rows_without_a_file_are_counted(faulty: FaultyServer, catalogue: Catalogue) -> None:
    answer_bulk(faulty, TABLE.format(rows="ISIC_0000002,A,CC-0,male\nISIC_0000002,A,CC-0,male\n"), FILES)
    faulty.answers[SEARCH] = [send(page([], 2))]
    reading = read(faulty.url, catalogue, listing="bulk")
    assert (reading.n_stated, reading.n_repeated, reading.n_strange) == (2, 1, 1)
    assert [each.url for each in catalogue.rows()] == [None]


def test_repeated_rows_of_pages_are_counted_and_come_once(faulty: FaultyServer, catalogue: Catalogue) -> None:
    faulty.answers[SEARCH] = [
        send(page([listed(1), listed(2)], 4, f"{faulty.url}images/search/?cursor=b")),
        send(page([listed(2), listed(3)])),
    ]
    reading = read(faulty.url, catalogue, listing="pages")
    assert (reading.n_stated, len(catalogue), reading.n_repeated) == (4, 3, 1)


def test_pages_that_repeat_themselves_under_new_cursors_end(faulty: FaultyServer, catalogue: Catalogue) -> None:
    rows = [listed(number) for number in range(400)]
    faulty.answers[SEARCH] = [send(page(rows, 400, f"{faulty.url}images/search/?cursor={n}")) for n in range(9)]
    with pytest.raises(SourceResponseError, match="over and over"):
        read(faulty.url, catalogue, listing="pages")


def test_the_mirror_refuses_a_token_of_its_own_making_only(folder: Path) -> None:
    with running_mirror(folder) as url:
        for token in ("", "abc", "eyJ4IjogMX0="):
            for route in ("metadata-file", "file-listing"):
                answer = httpx.get(f"{url}zip-download/{route}/", params={"token": token})
                assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})
        assert httpx.post(f"{url}zip-download/url/", json={"extra": 1}).status_code == 422
        assert httpx.post(f"{url}zip-download/url/", json={"query": "Nevus"}).status_code == 400
        assert httpx.get(url.replace("api/v2/", "collections/7/metadata/")).status_code == 404
