import base64
import hashlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesion_core.errors import ConfigError, ManifestError
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.models import ImageOut
from lesion_core.isic.mirror.folder import read_folder
from lesion_core.isic.mirror.server import running_mirror, serve_mirror
from tests.core.isic.folders import MELANOMA, isic_id, row, write_folder, write_table

N_IMAGES = 230
MISSING = isic_id(17)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [row(number) for number in range(N_IMAGES)]
    rows[3] |= {**MELANOMA, "mel_thick_mm": "0.45", "mel_ulcer": "False", "age_approx": "45", "sex": "female"}
    rows[4] |= {"attribution": "\t=HYPERLINK(1)", "lesion_id": "IL_0000001", "pixels_x": "1022", "pixels_y": "767"}
    folder = write_folder(tmp_path_factory.mktemp("mirror") / "archive", rows, without=[MISSING])
    collections = [
        {"id": 2, "name": "Small", "images": [isic_id(1), isic_id(2)]},
        {"id": 65, "name": "Challenge 2019: Training"},
        {"id": 3, "name": "Other", "description": "three", "images": [isic_id(2), isic_id(9)]},
    ]
    (folder / "collections.json").write_text(json.dumps(collections))
    return folder


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[httpx.Client]:
    with running_mirror(folder) as url, httpx.Client(base_url=url) as web:
        yield web


def ids(answer: httpx.Response) -> list[str]:
    return [image["isic_id"] for image in answer.json()["results"]]


def test_an_image_has_the_archives_form_and_types(web: httpx.Client) -> None:
    image = web.get(f"images/{isic_id(3)}/").json()
    assert image["metadata"]["acquisition"] == {"pixels_x": 40, "pixels_y": 30, "image_type": "dermoscopic"}
    clinical = image["metadata"]["clinical"]
    assert clinical["mel_thick_mm"] == "0.45"
    assert clinical["mel_ulcer"] is False
    assert clinical["age_approx"] == 45
    assert "lesion_id" not in clinical  # absent, not null
    assert image["copyright_license"] == "CC-0"
    assert ImageOut.model_validate(image).files.thumbnail_256 is not None


@pytest.mark.parametrize(("cell", "expected"), [("45", 45), ("45.0", 45), ("45.7", "45.7"), ("old", "old")])
def test_a_whole_number_is_one_and_anything_else_stays_text(tmp_path: Path, cell: str, expected: object) -> None:
    write_table(tmp_path, [row(1, age_approx=cell)])
    assert read_folder(tmp_path).entries[0].metadata(tmp_path)["clinical"]["age_approx"] == expected


def test_cells_are_unescaped_and_stated_pixels_win(web: httpx.Client) -> None:
    image = web.get(f"images/{isic_id(4)}/").json()
    assert image["attribution"] == "=HYPERLINK(1)"
    assert image["metadata"]["acquisition"]["pixels_x"] == 1022


def test_a_file_is_served_whole_with_its_length_and_tag(web: httpx.Client, folder: Path) -> None:
    link = web.get(f"images/{isic_id(5)}/").json()["files"]["full"]
    answer = web.get(link["url"])
    body = (folder / f"{isic_id(5)}.jpg").read_bytes()
    assert answer.content == body
    assert int(answer.headers["Content-Length"]) == len(body) == link["size"]
    assert answer.headers["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert answer.headers["Content-Type"] == "image/jpeg"


def test_an_image_without_a_file_is_listed_and_its_file_is_not_found(web: httpx.Client) -> None:
    image = web.get(f"images/{MISSING}/").json()
    assert "pixels_x" not in image["metadata"]["acquisition"]
    assert web.get(image["files"]["full"]["url"]).status_code == 404


@pytest.mark.parametrize(
    "name", ["metadata.csv", "..%2Fmetadata.csv", "%2e%2e/metadata.csv", "None", "ISIC_9999999.jpg"]
)
def test_nothing_but_listed_images_is_served(web: httpx.Client, name: str) -> None:
    answer = web.get(f"{str(web.base_url).removesuffix('api/v2/')}files/{name}")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


@pytest.mark.parametrize("path", ["images/ISIC_9999999/", "collections/9/", "collections/x/", "nothing/"])
def test_what_is_not_there_is_answered_as_the_archive_does(web: httpx.Client, path: str) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_a_bad_query_is_answered_as_the_archive_does(web: httpx.Client) -> None:
    answer = web.get("images/search/", params={"query": "anatom_site_general:*torso"})
    assert (answer.status_code, answer.json()) == (400, {"message": "Could not parse search query."})


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"limit": "many"}, "int_parsing"),
        ({"cursor": "nonsense"}, "value_error"),
        ({"cursor": base64.b64encode(b"q=1").decode()}, "value_error"),
        ({"cursor": base64.b64encode(b"\xff\xfe").decode()}, "value_error"),
        ({"collections": "1,x"}, "int_parsing"),
    ],
)
def test_a_bad_parameter_is_answered_as_the_archive_does(
    web: httpx.Client, params: dict[str, str], kind: str
) -> None:
    answer = web.get("images/search/", params=params)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["type"] == kind
    assert problem["loc"] == ["query", next(iter(params))]


@pytest.mark.parametrize(("limit", "expected"), [(None, 100), (0, 100), (101, 100), (-5, 100), (7, 7), (100, 100)])
def test_a_page_has_the_rows_that_were_asked_for(web: httpx.Client, limit: int | None, expected: int) -> None:
    answer = web.get("images/", params={} if limit is None else {"limit": limit})
    assert len(ids(answer)) == expected
    assert answer.json()["count"] == N_IMAGES
    assert answer.json()["previous"] is None


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(15, 100), query=st.sampled_from(["", "-age_approx:*", "diagnosis_3:Nevus"]))
def test_paging_gives_each_image_once_and_back_again(web: httpx.Client, limit: int, query: str) -> None:
    answer = web.get("images/search/", params={"limit": limit, "query": query})
    count, pages = answer.json()["count"], [ids(answer)]
    while answer.json()["next"]:
        answer = web.get(answer.json()["next"])
        assert answer.json()["count"] is None
        pages.append(ids(answer))
    everything = [isic_id for page in pages for isic_id in page]
    assert len(everything) == len(set(everything)) == count
    assert everything == sorted(everything)
    back = web.get(answer.json()["previous"])
    assert ids(back) == pages[-2]


def test_collections_are_listed_newest_first_and_united(web: httpx.Client) -> None:
    answer = web.get("collections/").json()
    assert [(item["id"], item["name"]) for item in answer["results"]] == [
        (65, "Challenge 2019: Training"),
        (3, "Other"),
        (2, "Small"),
    ]
    assert answer["count"] == 3
    assert web.get("collections/3/").json()["description"] == "three"
    assert web.get("images/search/", params={"collections": "2,3"}).json()["count"] == 3
    assert ids(web.get("images/search/?collections=2&collections=3")) == [isic_id(1), isic_id(2), isic_id(9)]
    assert web.get("images/search/", params={"collections": "2,65"}).json()["count"] == N_IMAGES
    assert web.get("images/search/", params={"collections": "99"}).json()["count"] == 0
    assert (
        web.get("images/search/", params={"collections": "2", "query": f"isic_id:{isic_id(2)}"}).json()["count"] == 1
    )


def test_sizes_are_summed(web: httpx.Client, folder: Path) -> None:
    expected = sum(path.stat().st_size for path in folder.glob("*.jpg"))
    assert web.get("images/search/size/").json() == {"size": expected}


def test_addresses_follow_the_host_that_the_client_named(web: httpx.Client) -> None:
    answer = web.get("images/", params={"limit": 1}, headers={"Host": "mirror.hospital.example:8080"}).json()
    assert answer["results"][0]["files"]["full"]["url"].startswith("http://mirror.hospital.example:8080/files/")
    assert answer["next"].startswith("http://mirror.hospital.example:8080/api/v2/images/?limit=1&cursor=")


def test_the_client_reads_the_mirror(folder: Path) -> None:
    with running_mirror(folder) as url, ArchiveClient(url) as client:
        pages = list(client.search("diagnosis_3:Nevus OR diagnosis_3:Mel*", (65,)))
        assert sum(len(page.images) for page in pages) == pages[0].count == N_IMAGES
        assert client.collection(65).name == "Challenge 2019: Training"
        assert client.count('diagnosis_3:"Melanoma, NOS"') == 1


def test_without_a_list_of_collections_there_is_one_of_everything(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "ward", [row(1), row(2)])
    with running_mirror(folder) as url:
        assert httpx.get(f"{url}collections/1/").json()["name"] == "ward"
        assert httpx.get(f"{url}images/search/?collections=1").json()["count"] == 2


def test_a_file_that_disappears_is_not_found(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "ward", [row(1)])
    with running_mirror(folder) as url:
        (folder / f"{isic_id(1)}.jpg").unlink()
        assert httpx.get(f"{url}../../files/{isic_id(1)}.jpg").status_code == 404
        assert httpx.get(f"{url}images/").status_code == 200


def test_a_table_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    write_table(tmp_path, [row(1)], encoding="utf-8-sig")
    assert read_folder(tmp_path).entries[0].isic_id == isic_id(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "found none"),
        (b"", "column isic_id"),
        (b"image,sex\nISIC_0000001,male\n", "column isic_id"),
        (b"isic_id,sex\nISIC_0000001,male,extra\n", "2 cells in row 2"),
        (b"isic_id,sex\nISIC_0000001\n", "2 cells in row 2"),
        (b"isic_id,sex,sex\n", "each column once"),
        (b"isic_id\nISIC_0000001\nISIC_0000002\nISIC_0000001\n", "ISIC_0000001 again"),
        (b"isic_id\nward-7\n", "got ward-7"),
        (b"isic_id,sex\n,male\n", "an empty cell"),
        (b"isic_id\n\xff\xfe\n", "UTF-8"),
        (b'isic_id\n"ISIC_0000001\n', "export it again"),
    ],
)
def test_a_table_that_is_none_ends_in_one_clear_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_folder(tmp_path)


@pytest.mark.parametrize("content", ["{}", "[{}]", "not json", '[{"id": 1, "name": "x", "images": ["y"]}]'])
def test_a_broken_list_of_collections_is_refused(tmp_path: Path, content: str) -> None:
    write_table(tmp_path, [row(1)])
    (tmp_path / "collections.json").write_text(content)
    with pytest.raises(ManifestError, match=r"collections\.json"):
        read_folder(tmp_path)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, [row(1)])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigError, match=f"port {other.getsockname()[1]}"):
            serve_mirror(tmp_path, port=other.getsockname()[1])


def test_a_large_folder_starts_at_once(tmp_path: Path) -> None:
    write_table(tmp_path, [row(number, lesion_id=f"IL_{number:07d}") for number in range(12_760)])
    began = time.monotonic()
    with running_mirror(tmp_path) as url:
        assert httpx.get(f"{url}images/search/?query=diagnosis_3:Nevus").json()["count"] == 12_760
    assert time.monotonic() - began < 6  # about half a second on an idle core
    shutil.rmtree(tmp_path)
