"""A file of trusted certificates that cannot be used: named where TLS is needed, no matter where it is not."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from lesion_core.errors import ConfigError
from lesion_core.isic.api import transport
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.stores.s3 import S3Store
from tests.conftest import need
from tests.core.isic.faulty import FaultyServer, faulty_server, page, send

_NAMES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
_QUICK = Patience(attempts=1, connect_seconds=2, read_seconds=5)
_KEYS = {"access_key": "a", "secret_key": "b"}


@pytest.fixture(autouse=True)
def read_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The certificates are kept for a process's life; a test changes the environment within it."""
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
    transport._trust.cache_clear()
    yield
    transport._trust.cache_clear()


@pytest.fixture
def plain() -> Iterator[FaultyServer]:
    """A server that speaks plain HTTP."""
    with faulty_server() as server:
        server.answers["/api/v2/images/search/"] = [send(page([], count=3))]
        yield server


def _broken(tmp_path: Path, how: str) -> Path:
    path = tmp_path / "authorities.pem"
    if how == "no certificates":
        path.write_text("these are not the certificates")
    return path


@pytest.mark.parametrize("how", ["missing", "no certificates"])
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_an_archive(
    plain: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    path = _broken(tmp_path, how)
    monkeypatch.setenv(name, str(path))
    with ArchiveClient(plain.url, patience=_QUICK) as client:
        assert client.count() == 3
    with ArchiveClient("https://127.0.0.1:9/api/v2/", patience=_QUICK) as client:
        for ask in (client.count, lambda: client.download("https://127.0.0.1:9/x.jpg")):
            with pytest.raises(ConfigError, match=f"{name} .*{path.name}"):
                ask()


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[str]:
    """The address of a server that speaks TLS with a certificate of its own making."""
    openssl = need("openssl", shutil.which("openssl"))
    key, certificate = tmp_path / "key.pem", tmp_path / "own.pem"
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    subprocess.run(
        [openssl, "req", "-x509", *made, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with faulty_server() as server:
        server.answers["/api/v2/images/search/"] = [send(page([], count=4))]
        server.wrap(context)
        yield f"https://localhost:{server.port}/api/v2/"


def test_an_archive_that_leads_on_to_https(
    plain: FaultyServer, secure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.answers["/api/v2/images/search/"] = [send(b"", 302, {"Location": f"{secure}images/search/"})]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    with ArchiveClient(plain.url, patience=_QUICK) as client:
        assert client.count() == 4
    transport._trust.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    expected = pytest.raises(ConfigError, match=r"SSL_CERT_FILE .*missing\.pem")
    with ArchiveClient(plain.url, patience=_QUICK) as client, expected:
        client.count()


@pytest.mark.parametrize("how", ["missing", "no certificates"])
@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_store(plain: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str) -> None:
    path = _broken(tmp_path, how)
    monkeypatch.setenv(name, str(path))
    plain.answers["/bucket/models/x"] = [send(b"object", headers={"ETag": '"1"'})]
    assert S3Store("bucket", endpoint=plain.host, **_KEYS).read("models/x") == b"object"
    for endpoint in (None, "https://127.0.0.1:9"):
        with pytest.raises(ConfigError, match=f"{name} .*{path.name}"):
            S3Store("bucket", endpoint=endpoint, **_KEYS)


def test_a_sound_file_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, certifi.where())
    assert transport._trust().cert_store_stats()["x509_ca"] > 10
    S3Store("bucket", **_KEYS)
