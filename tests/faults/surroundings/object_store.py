"""boto3 and S3: what a shell sets for other programs, and what answers at the address of a server."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lesion_core.errors import ConfigError, StoreRefused, StoreUnavailable
from lesion_core.registry.channels import read_channel
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from lesion_core.stores.protocol import Store
from tests.faults.expected import Refused
from tests.faults.surroundings.case import Place, SurroundingCase, Works

Act = Callable[[Place], None]
_HTML = (("Content-Type", "text/html; charset=utf-8"),)
_PAGE = b"<!doctype html><title>MinIO Console</title>"
_REGION = (("x-amz-bucket-region", "eu-central-1"),)


def _round_trip(place: Place, **changes: str | None) -> None:
    """Keep something in the server and read it, as every command does; ``None`` unsets a variable."""
    variables: dict[str, str | None] = {**place.server.variables("main"), **changes}
    for name, value in variables.items():
        place.patch.delenv(name, raising=False) if value is None else place.patch.setenv(name, value)
    store = open_store(LesionSettings())
    store.write("models/a", b"bytes")
    assert store.read("models/a") == b"bytes"
    assert list(store.list("models/")) == ["models/a"]


def _with(**variables: str | None) -> Act:
    return lambda place: _round_trip(place, **variables)


def _own_keys_only(place: Place) -> None:
    _round_trip(place, AWS_PROFILE="another-project", AWS_SESSION_TOKEN="stale", AWS_REGION="mars-1")


def _aws_config(text: str) -> Act:
    def act(place: Place) -> None:
        path = place.folder / "config"
        path.write_text(text)
        _round_trip(place, AWS_CONFIG_FILE=str(path))

    return act


def _keys_with_line_breaks(place: Place) -> None:
    server = place.server
    _round_trip(place, LESION_S3_ACCESS_KEY=f"{server.access_key}\n", LESION_S3_SECRET_KEY=f"{server.secret_key}\r\n")


def _bucket_in_the_path(place: Place) -> None:
    _round_trip(place, LESION_S3_ENDPOINT=f"{place.server.endpoint}/{place.server.bucket}")


def _no_directory_called_s3(place: Place) -> None:
    place.patch.chdir(place.folder)
    try:
        _round_trip(place, LESION_STORE="s3:/lesion/main")
    finally:
        assert not Path("s3:").exists()


def _metadata_service_without_an_answer(place: Place) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place.patch.delenv("AWS_EC2_METADATA_DISABLED")
        place.patch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        place.patch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "1")
        _round_trip(place, LESION_S3_ACCESS_KEY=None, LESION_S3_SECRET_KEY=None)


def _answered(
    ask: Callable[[Store], object], status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
) -> Act:
    """Ask a store at an address that answers everything alike."""

    def act(place: Place) -> None:
        with _answering(status, body, headers) as endpoint:
            ask(
                open_store(
                    LesionSettings(
                        store="s3://lesion/main", s3_endpoint=endpoint, s3_access_key="a", s3_secret_key="b"
                    )
                )
            )

    return act


@contextlib.contextmanager
def _answering(status: int, body: bytes, headers: tuple[tuple[str, str], ...]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_PUT = do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _said(code: str, message: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def _stat(store: Store) -> object:
    return store.stat("models/a")


def _list(store: Store) -> object:
    return list(store.list("models/"))


def _channel(store: Store) -> object:
    return read_channel(store, "approved")


OBJECT_STORE_CASES = (
    SurroundingCase(
        "AWS_PROFILE, AWS_SESSION_TOKEN and AWS_REGION of another project, with keys in LESION_S3_…",
        "boto/boto3#4121",
        Works("the keys that are given; the rest is not looked at"),
        _own_keys_only,
    ),
    SurroundingCase(
        "AWS_PROFILE names a profile that is not there, without keys in LESION_S3_…",
        "aws/aws-cli#370",
        Refused(ConfigError, "The config profile (another-project) could not be found"),
        _with(AWS_PROFILE="another-project", LESION_S3_ACCESS_KEY=None, LESION_S3_SECRET_KEY=None),
    ),
    SurroundingCase(
        "a ~/.aws/config that cannot be parsed",
        "boto/boto3#253",
        Refused(ConfigError, "Unable to parse config file"),
        _aws_config("[default\nregion = eu-central-1\n"),
    ),
    SurroundingCase(
        "a ~/.aws/config with use_accelerate_endpoint and virtual addressing",
        "",
        Works("the server of LESION_S3_ENDPOINT, asked by path"),
        _aws_config("[default]\ns3 =\n  addressing_style = virtual\n  use_accelerate_endpoint = true\n"),
    ),
    SurroundingCase(
        "AWS_ENDPOINT_URL of another server, beside LESION_S3_ENDPOINT",
        "",
        Works("the server of LESION_S3_ENDPOINT"),
        _with(AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ENDPOINT_URL_S3="http://127.0.0.1:1"),
    ),
    SurroundingCase(
        "keys that end in a line break, as files of secrets do",
        "boto/botocore#2001",
        Works("without it"),
        _keys_with_line_breaks,
    ),
    SurroundingCase(
        "the bucket in the path of LESION_S3_ENDPOINT",
        "boto/boto3#3134",
        Refused(ConfigError, "expected LESION_S3_ENDPOINT without the bucket"),
        _bucket_in_the_path,
    ),
    SurroundingCase(
        "the bucket in the host of LESION_S3_ENDPOINT",
        "boto/boto3#4307",
        Refused(ConfigError, "expected LESION_S3_ENDPOINT without the bucket"),
        _with(LESION_S3_ENDPOINT="https://lesion.s3.amazonaws.com"),
    ),
    SurroundingCase(
        "LESION_S3_ENDPOINT without http://",
        "",
        Refused(ConfigError, "expected LESION_S3_ENDPOINT as http://host:port"),
        _with(LESION_S3_ENDPOINT="minio.clinic.example:9000"),
    ),
    SurroundingCase(
        "LESION_STORE with one slash after s3:",
        "",
        Refused(ConfigError, "write two slashes"),
        _no_directory_called_s3,
    ),
    SurroundingCase(
        "a region that is none",
        "",
        Refused(ConfigError, "expected LESION_S3_REGION such as eu-central-1"),
        _with(LESION_S3_REGION="Frankfurt am Main"),
    ),
    SurroundingCase(
        "no credentials, and a metadata service that does not answer",
        "boto/botocore#1791",
        Refused(StoreRefused, "Unable to locate credentials"),
        _metadata_service_without_an_answer,
    ),
    SurroundingCase(
        "MinIO's console in place of its API: a web page, 200",
        "minio/mc#4523",
        Refused(StoreRefused, "the address of the S3 API"),
        _answered(_channel, 200, _PAGE, _HTML),
    ),
    SurroundingCase(
        "another web server at the address: a web page, 404",
        "s3tools/s3cmd#730",
        Refused(StoreRefused, "the address of the S3 API"),
        _answered(_channel, 404, b"<title>404 Not Found</title>", _HTML),
    ),
    SurroundingCase(
        "a login that redirects every request",
        "boto/botocore#1419",
        Refused(StoreRefused, "got redirects about"),
        _answered(_list, 302, b"", (("Location", "http://127.0.0.1:9/login"),)),
    ),
    SurroundingCase(
        "a proxy that asks for a login",
        "",
        Refused(StoreRefused, "put it into HTTPS_PROXY"),
        _answered(_list, 407, b"<title>Proxy Authentication Required</title>", _HTML),
    ),
    SurroundingCase(
        "a bucket of another region",
        "boto/botocore#1413",
        Refused(StoreRefused, "set LESION_S3_REGION to the bucket's region"),
        _answered(_stat, 400, _said("AuthorizationHeaderMalformed", "expecting 'eu-central-1'"), _REGION),
    ),
    SurroundingCase(
        "a clock that is wrong",
        "aws/aws-cli#6358",
        Refused(StoreRefused, "set this computer's clock"),
        _answered(_stat, 403, _said("RequestTimeTooSkewed", "The difference is too large.")),
    ),
    SurroundingCase(
        "a token that has expired",
        "boto/botocore#1400",
        Refused(StoreRefused, "The provided token has expired"),
        _answered(_stat, 400, _said("ExpiredToken", "The provided token has expired.")),
    ),
    SurroundingCase(
        "keys that may read and not list",
        "boto/boto3#3594",
        Refused(StoreRefused, "allow this access key to list"),
        _answered(_list, 403, _said("AccessDenied", "Access Denied.")),
    ),
    SurroundingCase(
        "a gateway without a server behind it: a web page, 502, again and again",
        "pangeo-data/pangeo-eosc#110",
        Refused(StoreUnavailable, "502 a web page; is LESION_S3_ENDPOINT"),
        _answered(_list, 502, b"<title>502 Bad Gateway</title>", _HTML),
    ),
)
