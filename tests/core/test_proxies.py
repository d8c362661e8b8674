"""Loopback never goes through a proxy; everything else does, where the environment says so."""

import json
import urllib.request
from collections.abc import Iterator

import httpx
import pytest

from lesion_core import proxies
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.proxies import goes_direct, is_loopback, loopback_excepted
from lesion_core.settings import keep_loopback_direct
from lesion_core.stores.s3 import S3Store
from tests.core.isic.faulty import FaultyServer, faulty_server, page, send
from tests.proxies import VARIABLES, Proxy, running_proxy

_FORMS = [("HTTP_PROXY",), ("http_proxy",), ("ALL_PROXY",), ("all_proxy",), VARIABLES]
_QUICK = Patience(attempts=1, connect_seconds=2, read_seconds=5)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable names a proxy; what a test's own code sets is forgotten after it."""
    for name in (*VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that no variable names yet."""
    with running_proxy() as proxy:
        yield proxy


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server


def _behind(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name, value in proxy.variables(*names).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("names", _FORMS, ids=" ".join)
def test_an_archive_on_loopback_is_asked_directly(
    proxy: Proxy, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    _behind(proxy, monkeypatch, *names)
    faulty.answers["/api/v2/images/search/"] = [send(page([], count=3))]
    faulty.answers["/file.jpg"] = [send(b"\xff\xd8 bytes")]
    for host in ("127.0.0.1", "localhost"):
        with ArchiveClient(f"http://{host}:{faulty.port}/api/v2/", patience=_QUICK) as client:
            assert client.count() == 3
            assert client.download(f"http://{host}:{faulty.port}/file.jpg").body == b"\xff\xd8 bytes"
    assert proxy.requests == []
    assert len(faulty.requests) == 4


@pytest.mark.parametrize("names", _FORMS, ids=" ".join)
def test_any_other_archive_is_asked_through_the_proxy(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    _behind(proxy, monkeypatch, *names)
    keep_loopback_direct()
    proxy.answer = json.dumps({"count": 3, "next": None, "previous": None, "results": []}).encode()
    with ArchiveClient("http://archive.example/api/v2/", patience=_QUICK) as client:
        assert client.count() == 3
        assert client.download("http://files.example/file.jpg").body == proxy.answer
    assert proxy.requests == [
        "GET http://archive.example/api/v2/images/search/?limit=1",
        "GET http://files.example/file.jpg",
    ]


def test_a_store_on_loopback_is_asked_directly_and_any_other_through_the_proxy(
    proxy: Proxy, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _behind(proxy, monkeypatch)
    faulty.answers["/bucket/models/x"] = [send(b"object", headers={"ETag": '"1"'})]
    keys = {"access_key": "a", "secret_key": "b"}
    assert S3Store("bucket", endpoint=f"http://127.0.0.1:{faulty.port}", **keys).read("models/x") == b"object"
    assert proxy.requests == []
    assert S3Store("bucket", endpoint="http://store.example", **keys).read("models/x") == b"{}"
    assert proxy.requests == ["GET http://store.example/bucket/models/x"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "clinic.example, 10.0.0.1"}, "clinic.example,10.0.0.1,127.0.0.1,localhost,::1"),
        ({"no_proxy": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": ""}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "*"}, "*"),
        ({"no_proxy": "a.example,*"}, "*"),
    ],
)
def test_what_the_user_excepts_stays_excepted_in_both_spellings(before: dict[str, str], after: str) -> None:
    added = loopback_excepted(before)
    assert {name: added[name] for name in ("NO_PROXY", "no_proxy")} == {"NO_PROXY": after, "no_proxy": after}


def test_each_spelling_keeps_what_is_its_own() -> None:
    added = loopback_excepted({"NO_PROXY": "upper.example", "no_proxy": "lower.example"})
    assert added["NO_PROXY"].startswith("upper.example,")
    assert added["no_proxy"].startswith("lower.example,")


def test_other_programs_clients_keep_to_it(
    proxy: Proxy, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clients of Prefect (httpx) and of the standard library know nothing of this project."""
    _behind(proxy, monkeypatch)
    monkeypatch.setenv("NO_PROXY", "clinic.example")
    keep_loopback_direct()
    faulty.answers["/api/v2/x"] = [send(b"near")]
    assert httpx.get(f"{faulty.url}x").content == b"near"
    with urllib.request.urlopen(f"{faulty.url}x", timeout=5) as response:
        assert response.read() == b"near"
    assert proxy.requests == []
    assert httpx.get("http://far.example/").content == b"{}"
    assert proxy.requests == ["GET http://far.example/"]


def test_the_systems_own_proxies_outlive_the_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS they are looked for only where no such variable is set."""
    monkeypatch.setattr(proxies, "getproxies", lambda: {"http": "http://proxy.clinic:3128", "ftp": "ftp://x"})
    added = loopback_excepted({"PATH": "/bin"})
    assert added["http_proxy"] == "http://proxy.clinic:3128"
    assert "ftp_proxy" not in added
    assert "http_proxy" not in loopback_excepted({"HTTPS_PROXY": "http://other:1"})


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]"])
def test_a_loopback_address_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "notlocalhost", "128.0.0.1", "10.0.0.1", "::2", "", None])
def test_any_other_address_is_not(host: str | None) -> None:
    assert not is_loopback(host)


def test_a_host_that_the_user_excepts_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.clinic:3128")
    monkeypatch.setenv("NO_PROXY", "archive.clinic")
    assert goes_direct("https", "archive.clinic")
    assert not goes_direct("https", "archive.example")
    assert goes_direct("http", "archive.example")
