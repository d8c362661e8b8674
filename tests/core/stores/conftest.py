"""Every kind of store, each empty at the start of a test."""

import uuid
from pathlib import Path

import pytest

from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from lesion_core.stores.retry import RetryingStore
from lesion_core.stores.s3 import S3Store
from tests.servers import S3Server, minio, rclone

__all__ = ["minio", "rclone"]

HONOURING = ("local", "retrying", "minio")
ALL = (*HONOURING, "rclone")


def s3_store(server: S3Server, **changes: str) -> S3Store:
    """A store in a fresh prefix of the server's test bucket."""
    settings = {
        "bucket": server.bucket,
        "prefix": f"test/{uuid.uuid4().hex}",
        "endpoint": server.endpoint,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
    }
    return S3Store(**{**settings, **changes})


def make_store(kind: str, folder: Path, request: pytest.FixtureRequest) -> Store:
    if kind == "local":
        return LocalStore(folder / "store")
    if kind == "retrying":
        return RetryingStore(LocalStore(folder / "store"), sleep=lambda seconds: None)
    return s3_store(request.getfixturevalue(kind))


@pytest.fixture(params=ALL)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Any store."""
    return make_store(request.param, tmp_path, request)


@pytest.fixture(params=HONOURING)
def honouring(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Any store that honours conditions."""
    return make_store(request.param, tmp_path, request)
