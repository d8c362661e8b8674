"""What the cases share."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from tests.faults.acts import Bench, made_ready


@pytest.fixture(scope="session")
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let clients know one certificate authority alone: nothing here speaks TLS, and reading all takes its time."""
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    path.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end, encoding="utf-8")
    ssl.create_default_context(cafile=str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(scope="session")
def bench(few_authorities: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The archive in order, and a store after a run on it."""
    with made_ready(tmp_path_factory.mktemp("earlier")) as ready:
        yield ready
