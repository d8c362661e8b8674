"""A 0 and a false that the archive's table leaves empty: the same facts, whichever way it is read."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lesion_core.errors import SourceResponseError
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing.catalogue import Catalogue
from lesion_core.isic.listing.routes import read_listing
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.snapshot import read_images
from lesion_core.isic.source import ArchiveSource
from lesion_core.progress import ignore_progress
from lesion_core.stores.local import LocalStore
from lesion_core.types import JsonDict
from tests.core.isic.bulks import SEARCH, TABLE, offer, table
from tests.core.isic.faulty import FaultyServer, listed, page, send
from tests.core.isic.folders import isic_id, row, write_folder

QUICK = Patience(attempts=2, first_wait_seconds=0.01, connect_seconds=2, read_seconds=2, request_seconds=10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ages of 0, unknown ages and others; every other value that Python takes for false."""
    rows = [row(number, age_approx="45", sex="male") for number in range(130)]
    for number in range(0, 120, 3):
        rows[number] |= {"age_approx": "0", "sex": "female" if number % 2 else "male"}
    rows[1] |= {"age_approx": "", "melanocytic": "False", "mel_ulcer": "True", "mel_thick_mm": "0.00"}
    rows[2] |= {"mel_mitotic_index": "0/mm^2", "acquisition_day": "0", "clin_size_long_diam_mm": "0.00"}
    rows[4] |= {"acquisition_day": "-3", "mel_ulcer": "False", "personal_hx_mm": "False", "family_hx_mm": "False"}
    rows[5] |= {"concomitant_biopsy": "False", "mel_thick_mm": "1.20", "acquisition_day": "12"}
    return write_folder(tmp_path / "archive", rows)


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    with running_mirror(folder) as url:
        yield url


def test_the_archives_table_has_no_age_of_0_and_its_pages_have(url: str) -> None:
    token = httpx.post(f"{url}zip-download/url/", json={"query": "age_approx:0"}).json().partition("zsid=")[2]
    lines = httpx.get(f"{url}zip-download/metadata-file/", params={"token": token}).text.splitlines()
    place = lines[0].split(",").index("age_approx")
    assert len(lines) == 41
    assert {line.split(",")[place] for line in lines[1:]} == {""}
    shown = httpx.get(f"{url}images/{isic_id(3)}/").json()
    assert shown["metadata"]["clinical"]["age_approx"] == 0


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        {"query": "sex:female"},
        {"query": "sex:female OR mel_ulcer:*"},  # beside a condition, it needs brackets
        {"query": "sex:male age_approx:[0 TO 40]", "collections": (1,)},
        {"query": "age_approx:0"},
    ],
)
def test_bulk_and_pages_give_the_same_snapshot(url: str, tmp_path: Path, criteria: dict[str, object]) -> None:
    snapshots = {}
    for listing in ("bulk", "pages"):
        source = ArchiveSource.model_validate({"url": url, "listing": listing, "connections": 4, **criteria})
        store = LocalStore(tmp_path / listing)
        snapshot = ingest(source, store, patience=QUICK)
        snapshots[listing] = snapshot, read_images(store, snapshot, tmp_path)
    assert snapshots["bulk"][0].id == snapshots["pages"][0].id  # the id is a digest of all that is said
    ages = snapshots["bulk"][1]["age_years"]
    assert ages.equals(snapshots["pages"][1]["age_years"])
    assert (ages == 0).any()


def facts_of(url: str, place: Path, **options: object) -> dict[str, JsonDict]:
    source = ArchiveSource.model_validate({"url": url, **options})
    with Catalogue(place / "catalogue.sqlite") as catalogue, ArchiveClient(url, patience=QUICK) as client:
        read_listing(client, source, catalogue, ignore_progress)
        return {each.statement.isic_id: each.statement.facts for each in catalogue.rows()}


def test_every_value_has_one_type_whichever_way_it_comes(url: str, tmp_path: Path) -> None:
    facts = {listing: facts_of(url, tmp_path / listing, listing=listing) for listing in ("bulk", "pages")}
    assert facts["bulk"] == facts["pages"]
    first, second, fourth, fifth = (facts["bulk"][isic_id(number)] for number in (1, 2, 4, 5))
    assert "age_approx" not in first
    assert (first["melanocytic"], first["mel_thick_mm"]) == (False, "0.00")
    assert (second["mel_mitotic_index"], second["acquisition_day"]) == ("0/mm^2", 0)
    assert second["clin_size_long_diam_mm"] == "0.00"
    assert (fourth["acquisition_day"], fourth["mel_ulcer"], fourth["family_hx_mm"]) == (-3, False, False)
    assert fifth["acquisition_day"] == 12


@pytest.mark.parametrize(("age", "n_asked"), [("", 2), ("40", 0)])
def test_it_is_asked_for_only_where_ages_are_missing(
    faulty: FaultyServer, tmp_path: Path, age: str, n_asked: int
) -> None:
    rows = {1: {"age_approx": "45"}, 2: {"age_approx": age}}
    everything, newborn = table([1, 2], rows, ["age_approx"]), table([2], rows, ["age_approx"])
    offer(faulty, counts=[2, 1], tables=[everything, newborn], files=[{1, 2}])
    facts = facts_of(faulty.url, tmp_path, query="sex:male OR sex:female", collections=(65,), listing="bulk")
    assert facts[isic_id(2)]["age_approx"] == (0 if age == "" else 40)
    assert facts[isic_id(1)]["age_approx"] == 45
    assert sum("age_approx" in target for target in faulty.requests) == (1 if n_asked else 0)
    asked = "(sex:male OR sex:female) AND (age_approx:0)"
    assert [asked in body.decode() for body in faulty.bodies] == [False, True][: len(faulty.bodies)]
    assert len(faulty.bodies) == (2 if n_asked else 1)


def test_a_table_that_drops_every_0_and_false_is_completed(faulty: FaultyServer, tmp_path: Path) -> None:
    columns = ["age_approx", "mel_thick_mm", "mel_ulcer", "melanocytic"]
    rows = {
        1: {"age_approx": "45", "mel_thick_mm": "0.50", "mel_ulcer": "True", "melanocytic": "False"},
        2: {},
    }
    whole, second = table([1, 2], rows, columns), table([2], rows, columns)
    none = table([], rows, columns)
    # the whole; then ages of 0, a thickness of 0.00, and no ulcer; what is not melanocytic stands in the table
    offer(faulty, counts=[2, 2], tables=[whole, none, second, second], files=[{1, 2}])
    facts = facts_of(faulty.url, tmp_path, listing="bulk")
    assert facts[isic_id(2)]["mel_thick_mm"] == "0.00"
    assert facts[isic_id(2)]["mel_ulcer"] is False
    assert "melanocytic" not in facts[isic_id(2)]
    asked = [body.decode() for body in faulty.bodies[1:]]
    assert [query in body for query, body in zip(("age", "mel_thick_mm:0", "mel_ulcer:false"), asked, strict=True)]


def test_where_there_are_none_nothing_more_is_asked(faulty: FaultyServer, tmp_path: Path) -> None:
    offer(faulty, counts=[1, 0], tables=[table([1], {}, ["age_approx"])], files=[{1}])
    assert "age_approx" not in facts_of(faulty.url, tmp_path, listing="bulk")[isic_id(1)]
    assert len(faulty.bodies) == 1


def test_a_server_that_does_not_search_gives_no_image_an_age(faulty: FaultyServer, tmp_path: Path) -> None:
    everything = table([1, 2], {1: {"age_approx": "45"}}, ["age_approx"])
    offer(faulty, counts=[2], tables=[everything], files=[{1, 2}])
    with pytest.raises(SourceResponseError, match="only images with age_approx:0"):
        facts_of(faulty.url, tmp_path, listing="bulk")


def test_pages_are_read_where_the_question_is_refused(faulty: FaultyServer, tmp_path: Path) -> None:
    offer(faulty, counts=[], tables=[table([1], {}, ["age_approx"])], files=[{1}])
    faulty.answers[SEARCH] = [
        send(page([], 1)),
        send({"message": "Could not parse search query."}, 400),
        send(page([listed(1, f"{faulty.host}/1.jpg", age_approx=0)], 1)),
    ]
    assert facts_of(faulty.url, tmp_path)[isic_id(1)]["age_approx"] == 0
    assert sum(target.startswith(TABLE) for target in faulty.requests) == 2  # the listing; then whom to credit
