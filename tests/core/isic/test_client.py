import random
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from lesion_core.errors import ConfigError, SourceResponseError, SourceUnavailable
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from tests.core.isic.faulty import FaultyServer, drip, hang_up, listed, page, reset_after, send, stall

SEARCH = "/api/v2/images/search/"
QUICK = Patience(attempts=3, first_wait_seconds=0.01, connect_seconds=2, read_seconds=0.3, request_seconds=30)


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client was asked to wait, in order."""
    return []


@pytest.fixture
def client(faulty: FaultyServer, waits: list[float]) -> Iterator[ArchiveClient]:
    with ArchiveClient(faulty.url, patience=QUICK, sleep=waits.append, rng=random.Random(1)) as client:
        yield client


def images_of(client: ArchiveClient, *criteria: object) -> list[str]:
    """The ids of a search, as they come."""
    return [image.isic_id for page in client.search(*criteria) for image in page.images]  # type: ignore[arg-type]


def test_a_listing_is_followed_to_its_end(faulty: FaultyServer, client: ArchiveClient) -> None:
    faulty.answers[SEARCH] = [
        send(page([listed(1), listed(2)], count=4, following=f"{faulty.url}images/search/?cursor=b&x=%2B")),
        send(page([listed(2), listed(3)], following=f"{faulty.url}images/search/?cursor=c&x=%2B")),
        send(page([listed(4)])),
    ]
    pages = list(client.search("sex:male", (65, 66)))
    assert [[image.isic_id[-1] for image in each.images] for each in pages] == [["1", "2"], ["2", "3"], ["4"]]
    assert [each.count for each in pages] == [4, None, None]
    assert faulty.requests == [
        f"{SEARCH}?limit=100&query=sex%3Amale&collections=65%2C66",
        f"{SEARCH}?cursor=b&x=%2B",  # verbatim
        f"{SEARCH}?cursor=c&x=%2B",
    ]


def test_the_next_page_is_asked_at_the_host_that_was_named(faulty: FaultyServer, client: ArchiveClient) -> None:
    elsewhere = "https://archive.example/api/v2/images/search/?cursor=b"
    faulty.answers[SEARCH] = [send(page([listed(1)], 2, elsewhere)), send(page([listed(2)]))]
    assert len(images_of(client)) == 2
    assert faulty.requests[1] == f"{SEARCH}?cursor=b"


@pytest.mark.parametrize("following", ["{url}images/search/?cursor=a", "{url}images/search/?limit=100"])
def test_a_cursor_that_leads_back_is_an_error(faulty: FaultyServer, client: ArchiveClient, following: str) -> None:
    faulty.answers[SEARCH] = [send(page([listed(1)], 5, following.format(url=faulty.url)))]
    with pytest.raises(SourceResponseError, match="the same page again"):
        list(client.search())
    assert len(faulty.requests) <= 2


def test_an_empty_page_with_a_next_one_is_an_error(faulty: FaultyServer, client: ArchiveClient) -> None:
    faulty.answers[SEARCH] = [send(page([], 5, f"{faulty.url}images/search/?cursor=b"))]
    with pytest.raises(SourceResponseError, match="a further page after an empty one"):
        list(client.search())


@pytest.mark.parametrize(
    ("status", "retry_after", "waited"), [(503, "7", 7.0), (429, "2", 2.0), (502, None, None), (500, "soon", None)]
)
def test_an_archive_that_cannot_now_is_asked_again(
    faulty: FaultyServer,
    client: ArchiveClient,
    waits: list[float],
    status: int,
    retry_after: str | None,
    waited: float | None,
) -> None:
    headers = {"Retry-After": retry_after} if retry_after else {}
    faulty.answers[SEARCH] = [send("<html>Server Error</html>", status, headers), send(page([listed(1)], 1))]
    assert client.count() == 1
    assert len(waits) == 1
    assert waits[0] == waited if waited is not None else 0.005 <= waits[0] <= 0.01


def test_retry_after_may_be_a_date(faulty: FaultyServer, client: ArchiveClient, waits: list[float]) -> None:
    moment = formatdate(time.time() + 10, usegmt=True)
    faulty.answers[SEARCH] = [send("", 503, {"Retry-After": moment}), send(page([], 0))]
    assert client.count() == 0
    assert 8 <= waits[0] <= 10


@pytest.mark.parametrize(("request_seconds", "expected"), [(300, [30.0]), (20, [])])
def test_retry_after_is_obeyed_only_within_the_limits(
    faulty: FaultyServer, waits: list[float], request_seconds: float, expected: list[float]
) -> None:
    faulty.answers[SEARCH] = [send("", 503, {"Retry-After": "86400"})]
    patience = Patience(attempts=2, longest_wait_seconds=30, request_seconds=request_seconds)
    with ArchiveClient(faulty.url, patience=patience, sleep=waits.append) as client, pytest.raises(SourceUnavailable):
        client.count()
    assert waits == expected


def test_waits_grow_and_attempts_end(faulty: FaultyServer, client: ArchiveClient, waits: list[float]) -> None:
    faulty.answers["*"] = [send("<html>Server Error (500)</html>", 500)]
    with pytest.raises(SourceUnavailable, match="500 Internal Server Error again and again") as caught:
        client.image("ISIC_0000001")
    assert caught.value.transient
    assert len(faulty.requests) == 3
    assert 0.005 <= waits[0] <= 0.01 <= waits[1] <= 0.02


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
def test_a_refusal_is_not_asked_again(faulty: FaultyServer, client: ArchiveClient, status: int) -> None:
    faulty.answers["*"] = [send({"detail": "No"}, status)]
    with pytest.raises(SourceResponseError, match=str(status)) as caught:
        client.image("ISIC_0000001")
    assert not caught.value.transient
    assert caught.value.status == status
    assert len(faulty.requests) == 1


def test_a_query_that_the_archive_cannot_parse_names_the_quotes(faulty: FaultyServer, client: ArchiveClient) -> None:
    faulty.answers[SEARCH] = [send({"message": "Could not parse search query."}, 400)]
    with pytest.raises(SourceResponseError, match="could not parse the search query") as caught:
        list(client.search("diagnosis_3:Basal cell carcinoma"))
    assert "diagnosis_3:Basal cell carcinoma" in str(caught.value)
    assert "double quotes" in str(caught.value)


def test_an_unreachable_archive_is_named_with_what_to_do() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{port}/api/v2"
        with (
            ArchiveClient(url, patience=QUICK, sleep=lambda seconds: None) as client,
            pytest.raises(SourceUnavailable, match=f"127.0.0.1:{port}") as caught,
        ):
            list(client.search())
    assert "LESION_ARCHIVE_URL" in str(caught.value)
    assert "lesion mirror" in str(caught.value)


@pytest.mark.parametrize("body", ["<!doctype html><title>Welcome</title>", '{"results": 3}', '{"results": [{}]}', ""])
def test_an_answer_of_another_form_is_refused(faulty: FaultyServer, client: ArchiveClient, body: str) -> None:
    faulty.answers["*"] = [send(body)]
    with pytest.raises(SourceResponseError, match="check the archive's address"):
        list(client.search())


@pytest.mark.parametrize("url", ["", "api.isic-archive.com/api/v2/", "ftp://host/", "http://", "http://[::1/"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="LESION_ARCHIVE_URL"):
        ArchiveClient(url)


def test_a_password_in_the_address_stays_out_of_messages(faulty: FaultyServer) -> None:
    url = faulty.url.replace("http://", "http://reader:s3cret@")
    with ArchiveClient(url, patience=QUICK) as client:
        assert "s3cret" not in client.url
        with pytest.raises(SourceResponseError) as caught:
            client.image("ISIC_0000001")
    assert "s3cret" not in str(caught.value)


BODY = bytes(range(256)) * 40


def test_a_file_comes_whole(faulty: FaultyServer, client: ArchiveClient) -> None:
    faulty.answers["/a.jpg"] = [send(BODY)]
    assert client.download(f"{faulty.host}/a.jpg").body == BODY


@pytest.mark.parametrize(
    "fault",
    [reset_after(BODY, 5000), reset_after(BODY, 0), hang_up(), send(BODY, stated=len(BODY) + 9), stall(0.8)],
    ids=["reset in the middle", "reset at the start", "hang-up", "announced too long", "silence"],
)
def test_a_broken_transfer_is_repeated(faulty: FaultyServer, client: ArchiveClient, fault: object) -> None:
    faulty.answers["/a.jpg"] = [fault, send(BODY)]  # type: ignore[list-item]
    assert client.download(f"{faulty.host}/a.jpg").body == BODY
    assert len(faulty.requests) == 2


def test_a_transfer_that_stays_broken_is_given_up(faulty: FaultyServer, client: ArchiveClient) -> None:
    faulty.answers["/a.jpg"] = [reset_after(BODY, 5000)]
    with pytest.raises(SourceUnavailable, match="the connection broke"):
        client.download(f"{faulty.host}/a.jpg")
    assert len(faulty.requests) == 3


def test_a_body_that_drips_in_ends_with_the_time_for_the_file(faulty: FaultyServer) -> None:
    faulty.answers["/a.jpg"] = [drip(BODY, 0.02)]
    patience = Patience(attempts=5, first_wait_seconds=0.01, read_seconds=0.5, request_seconds=0.4)
    began = time.monotonic()
    with (
        ArchiveClient(faulty.url, patience=patience) as client,
        pytest.raises(SourceUnavailable, match=r"within 0\.4 seconds"),
    ):
        client.download(f"{faulty.host}/a.jpg")
    assert time.monotonic() - began < 5


def test_a_file_beyond_all_measure_is_not_read_to_its_end(faulty: FaultyServer) -> None:
    faulty.answers["/a.jpg"] = [send(BODY)]
    with (
        ArchiveClient(faulty.url, patience=Patience(most_bytes=1000)) as client,
        pytest.raises(SourceResponseError, match="at most 1,000 bytes"),
    ):
        client.download(f"{faulty.host}/a.jpg")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/relative.jpg", "ftp://host/a.jpg"])
def test_only_web_addresses_are_followed(client: ArchiveClient, url: str) -> None:
    with pytest.raises(SourceResponseError, match="web address"):
        client.download(url)


def test_sizes_are_optional(faulty: FaultyServer, client: ArchiveClient) -> None:
    assert client.stated_bytes() is None
    faulty.answers["/api/v2/images/search/size/"] = [send({"size": 12})]
    assert client.stated_bytes() == 12


def test_an_archive_that_does_not_count_is_refused(faulty: FaultyServer, client: ArchiveClient) -> None:
    faulty.answers[SEARCH] = [send(page([listed(1)]))]
    with pytest.raises(SourceResponseError, match="count"):
        client.count()
