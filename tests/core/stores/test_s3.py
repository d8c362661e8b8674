"""What can go wrong with a server, each shown by a real one."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lesion_core.errors import (
    ArtifactNotFound,
    ConfigError,
    StoreConflict,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from lesion_core.stores.s3 import S3Store
from lesion_core.stores.s3_answers import meaning_of
from tests.core.stores.conftest import s3_store
from tests.servers import S3Server, free_port

KEY = "models/quick/0123456789ab/model.onnx"


@pytest.mark.parametrize(
    "wrong", [{"secret_key": "not-the-secret"}, {"access_key": "nobody"}], ids=["secret", "access key"]
)
def test_a_wrong_credential_is_refused_in_words(minio: S3Server, wrong: dict[str, str]) -> None:
    store = s3_store(minio, **wrong)
    acts = (
        lambda: store.read(KEY),
        lambda: store.stat(KEY),
        lambda: store.write(KEY, b"x"),
        lambda: list(store.list("")),
        lambda: store.create(KEY, b"x"),
        lambda: store.remove(KEY),
        store.honours_conditions,
    )
    for act in acts:
        with pytest.raises(StoreRefused, match="LESION_S3_ACCESS_KEY and LESION_S3_SECRET_KEY") as caught:
            act()
        assert "not-the-secret" not in str(caught.value)
        assert not caught.value.transient


def test_missing_credentials_are_refused_in_words(
    minio: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("no-credentials")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = S3Store(minio.bucket, endpoint=minio.endpoint)
    with pytest.raises(StoreRefused, match="set LESION_S3_ACCESS_KEY"):
        store.read(KEY)


@pytest.mark.parametrize("kind", ["minio", "rclone"])
def test_a_missing_bucket_is_distinguished_from_a_missing_object(kind: str, request: pytest.FixtureRequest) -> None:
    store = s3_store(request.getfixturevalue(kind), bucket="no-such-bucket")
    acts = (lambda: store.stat(KEY), lambda: store.read(KEY), lambda: store.write(KEY, b"x"))
    for act in acts:
        with pytest.raises(StoreRefused, match=r"create it .*s3://no-such-bucket"):
            act()


def test_an_unreachable_server_is_transient() -> None:
    store = S3Store("lesion", endpoint=f"http://127.0.0.1:{free_port()}", access_key="a", secret_key="b")
    for act in (lambda: store.read(KEY), lambda: store.write(KEY, b"x"), lambda: list(store.list(""))):
        with pytest.raises(StoreUnavailable, match="LESION_S3_ENDPOINT") as caught:
            act()
        assert caught.value.transient


@contextmanager
def answering(
    status: int, body: bytes, *, claimed_bytes: int | None = None, log: list[str] | None = None
) -> Iterator[str]:
    """Serve one answer to everything, claiming to send ``claimed_bytes``; yield the address."""
    requests = [] if log is None else log

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.requestline)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("ETag", '"0"')
            self.send_header("Content-Length", str(claimed_bytes or len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        do_PUT = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def store_at(endpoint: str) -> S3Store:
    return S3Store("lesion", endpoint=endpoint, access_key="a", secret_key="b")


def test_a_download_that_breaks_off_is_transient_and_never_short() -> None:
    with answering(200, b"half", claimed_bytes=1000) as endpoint:
        with pytest.raises(StoreUnavailable):
            store_at(endpoint).read(KEY)
        with pytest.raises(StoreUnavailable), store_at(endpoint).open_reader(KEY) as stream:
            stream.read()


def test_a_server_that_is_busy_is_asked_once_only() -> None:
    requests: list[str] = []
    body = b"<Error><Code>SlowDown</Code><Message>Wait</Message></Error>"
    with (
        answering(503, body, log=requests) as endpoint,
        pytest.raises(StoreUnavailable, match="SlowDown Wait"),
    ):
        store_at(endpoint).read(KEY)
    assert len(requests) == 1, "repeating is RetryingStore's"


def test_a_server_that_does_not_know_conditions_does_not_honour_them() -> None:
    body = b"<Error><Code>NotImplemented</Code><Message>A header you provided is unknown</Message></Error>"
    with answering(501, body) as endpoint:
        assert not store_at(endpoint).honours_conditions()


def test_a_server_that_refuses_all_conditions_does_not_honour_them() -> None:
    with answering(412, b"<Error><Code>PreconditionFailed</Code></Error>") as endpoint:
        assert not store_at(endpoint).honours_conditions()


@pytest.mark.parametrize(
    ("code", "status", "kind", "advice"),
    [
        ("NoSuchKey", 404, ArtifactNotFound, "LESION_STORE"),
        ("PreconditionFailed", 412, StoreConflict, "read it again"),
        ("ConditionalRequestConflict", 409, StoreConflict, "read it again"),
        ("403", 403, StoreRefused, "LESION_S3_SECRET_KEY"),
        ("AccessDenied", 403, StoreRefused, "allow this access key"),
        ("XMinioStorageFull", 507, StoreRefused, "free some"),
        ("SomethingNew", 507, StoreRefused, "free some"),
        ("RequestTimeTooSkewed", 403, StoreRefused, "clock"),
        ("PermanentRedirect", 301, StoreRefused, "LESION_S3_REGION"),
        ("SlowDown", 503, StoreUnavailable, "try again"),
        ("SomethingNew", 500, StoreUnavailable, "try again"),
        ("", 429, StoreUnavailable, "try again"),
        ("NotImplemented", 501, StoreRefused, "does not take"),
        ("SomethingNew", 400, StoreRefused, "does not take"),
    ],
)
def test_each_answer_says_what_to_do(code: str, status: int, kind: type[StoreError], advice: str) -> None:
    error = meaning_of(code, status, "the server's words", url="s3://lesion/prod", key=KEY)
    assert type(error) is kind
    assert advice in str(error)
    assert "the server's words" in str(error)
    assert json.dumps(error.context)


@pytest.mark.parametrize("bucket", ["", "UPPER", "a", "with_underscore", "slash/inside"])
def test_a_name_that_is_no_bucket_is_refused(bucket: str) -> None:
    with pytest.raises(ConfigError, match="bucket"):
        S3Store(bucket)


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="LESION_S3_ENDPOINT as http"):
        S3Store("lesion", endpoint="localhost:9000")


def test_a_listing_runs_over_pages(minio: S3Server) -> None:
    store = s3_store(minio)
    keys = [f"archive/ISIC_{number:07d}.jpg" for number in range(1005)]  # one page holds 1000
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, b"x"), keys))
    assert list(store.list("archive/")) == keys


def test_prefixes_keep_stores_apart(minio: S3Server) -> None:
    one, other = s3_store(minio, prefix="apart/a"), s3_store(minio, prefix="apart/ab")
    one.write(KEY, b"one")
    other.write(KEY, b"other")
    assert one.read(KEY) == b"one"
    assert list(one.list("")) == list(other.list("")) == [KEY]


def test_nothing_is_contacted_when_a_store_is_made() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        store_at(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(TimeoutError):
            listener.accept()
