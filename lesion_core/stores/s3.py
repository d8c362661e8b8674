"""Objects in a bucket of any S3-compatible server; the only user of boto3."""

import contextlib
import io
import re
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import boto3
import botocore.session
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    InvalidRegionError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
    TokenRetrievalError,
)

from lesion_core.certificates import OF_BOTO3, require_certificates
from lesion_core.errors import (
    ArtifactNotFound,
    ConfigError,
    StoreConflict,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from lesion_core.proxies import is_loopback
from lesion_core.stores.addresses import checked_key, checked_prefix
from lesion_core.stores.etags import PART_BYTES, fits_one_part
from lesion_core.stores.protocol import ObjectEntry, ObjectStat, Store
from lesion_core.stores.s3_answers import is_no_s3, meaning_of, no_s3
from lesion_core.stores.s3_endpoint import checked_endpoint
from lesion_core.types import StoreKey

_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_READ_BYTES = 1 << 20
_TRANSFER = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)


class S3Store:
    """A store in a bucket, below a prefix. Safe for several threads.

    Requests are not repeated here: a hidden second attempt of a conditional write could report as lost what
    it had won. ``RetryingStore`` repeats, and knows the difference. Integrity is by our own sha256, so
    boto3's additional checksums, which not every server knows, are off.

    Args:
        bucket: Must exist.
        prefix: Keys are kept below it; may be empty.
        endpoint: Address of the server; ``None`` means AWS.
        region: Region the requests are signed for.
        access_key: With ``secret_key``; ``None`` means boto3's own chain of credentials.
        secret_key: See ``access_key``.

    Raises:
        ConfigError: The bucket, prefix or endpoint cannot be one, or the server speaks TLS and the file of trusted
            certificates cannot be used.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> None:
        if not _BUCKET.match(bucket):
            raise ConfigError(
                f"expected an S3 bucket (3 to 63 of a-z, 0-9, '-' and '.'), as in s3://bucket/prefix, got {bucket!r}"
            )
        self._bucket = bucket
        self._prefix = f"{checked_prefix(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._proof_lock = threading.Lock()
        self._honours: bool | None = None
        if endpoint is not None:
            endpoint = checked_endpoint(endpoint, bucket)
        if endpoint is None or endpoint.lower().startswith("https:"):
            require_certificates(OF_BOTO3)
        try:
            self._client = _session(has_keys=access_key is not None).client(
                "s3",
                endpoint_url=endpoint,
                region_name=region,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                config=_client_config(endpoint),
            )
        except InvalidRegionError as error:
            raise ConfigError(f"expected LESION_S3_REGION such as eu-central-1, got {region!r}: {error}") from error
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"expected AWS settings that boto3 can use, got: {error}; correct or unset them: variables AWS_…, "
                "~/.aws/config, ~/.aws/credentials"
            ) from error

    @property
    def url(self) -> str:
        """Address of the bucket and prefix, without server and keys."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def root(self) -> Path | None:
        """None: there are no local files."""
        return None

    def open_reader(self, key: StoreKey) -> BinaryIO:
        """Open an object for streaming; raises ``ArtifactNotFound``."""
        body = self._get(key)["Body"]
        return io.BufferedReader(_Body(self, key, body), _READ_BYTES)

    def read(self, key: StoreKey) -> bytes:
        """Return an object's bytes; raises ``ArtifactNotFound``."""
        return self.read_tagged(key)[0]

    def read_tagged(self, key: StoreKey) -> tuple[bytes, str]:
        """Return an object's bytes and their version tag; raises ``ArtifactNotFound``."""
        answer = self._get(key)
        with self._translate(key), contextlib.closing(answer["Body"]) as body:
            return body.read(), str(answer["ETag"])

    def stat(self, key: StoreKey) -> ObjectStat | None:
        """Return size and tag of an object, or ``None``."""
        try:
            with self._translate(key):
                answer = self._client.head_object(Bucket=self._bucket, Key=self._full(key))
        except ArtifactNotFound:
            self._require_bucket()  # the answer to HEAD says nothing of why
            return None
        except StoreRefused:
            with contextlib.suppress(ArtifactNotFound):
                self._get(key)["Body"].close()  # the same refusal, with the server's words
            raise
        return ObjectStat(size_bytes=answer["ContentLength"], tag=self._tag(answer, key))

    def write(self, key: StoreKey, source: bytes | BinaryIO) -> str | None:
        """Store an object whole, replacing what was there, and return its ETag; a long stream goes in parts."""
        if isinstance(source, bytes):
            return self._put(key, source)
        if fits_one_part(source):
            return self._put(key, source.read())
        with self._translate(key):
            self._client.upload_fileobj(_KeptOpen(source), self._bucket, self._full(key), Config=_TRANSFER)
        found = self.stat(key)
        return None if found is None else found.tag

    def stage(self, key: StoreKey, body: bytes) -> None:
        """Store an object whole; a server that has answered has it."""
        self._put(key, body)

    def settle(self, keys: Iterable[StoreKey]) -> None:
        """Nothing is left to do."""

    def create(self, key: StoreKey, body: bytes) -> str:
        """Store an object only if there is none; raises ``StoreConflict``, or ``StoreRefused`` where not honoured."""
        self._require_conditions(key)
        return self._put(key, body, IfNoneMatch="*")

    def replace(self, key: StoreKey, body: bytes, expected_tag: str) -> str:
        """Replace an object whose tag is still ``expected_tag``; raises as ``create`` does."""
        self._require_conditions(key)
        return self._put(key, body, IfMatch=expected_tag)

    def list(self, prefix: str) -> Iterator[StoreKey]:
        """Yield the keys that begin with ``prefix``, sorted."""
        return (entry.key for entry in self.entries(prefix))

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield what ``list`` yields, each with size and time, which the server tells unasked."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + checked_prefix(prefix)
        )
        with self._translate(prefix):
            for page in pages:
                for item in page.get("Contents", ()):
                    key = item["Key"].removeprefix(self._prefix)
                    if not any(part.startswith(".") for part in key.split("/")):  # else a probe
                        yield ObjectEntry(key=key, size_bytes=item["Size"], modified=item["LastModified"])

    def remove(self, key: StoreKey) -> None:
        """Remove an object; removing what is not there is no error."""
        with contextlib.suppress(ArtifactNotFound), self._translate(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._full(key))

    def honours_conditions(self) -> bool:
        """Prove with a probe object, once, that the server refuses conditional writes whose condition fails.

        Some servers answer 200 to them (``rclone serve s3``), some do not know them.
        """
        with self._proof_lock:
            if self._honours is None:
                self._honours = self._prove_conditions()
            return self._honours

    def _prove_conditions(self) -> bool:
        probe = f"{self._prefix}.probe-{uuid.uuid4().hex}"
        try:
            first = self._put_at(probe, b"first", IfNoneMatch="*")
            if not self._is_refused(probe, IfNoneMatch="*"):
                return False
            self._put_at(probe, b"second", IfMatch=first)
            return self._is_refused(probe, IfMatch=first)
        except StoreConflict:  # a condition that holds was refused
            return False
        except StoreRefused as error:
            if error.context.get("status") == 501:
                return False
            raise
        finally:
            with contextlib.suppress(StoreError), self._translate(probe):
                self._client.delete_object(Bucket=self._bucket, Key=probe)

    def _is_refused(self, full_key: str, **condition: str) -> bool:
        try:
            self._put_at(full_key, b"must not be stored", **condition)
        except StoreConflict:
            return True
        return False

    def _require_conditions(self, key: StoreKey) -> None:
        checked_key(key)
        if not self.honours_conditions():
            raise StoreRefused(
                f"expected {self.url} to honour conditional writes (If-Match, If-None-Match), but its server ignores "
                f"them, so two writers of {key!r} could overwrite each other unseen; keep channels on a server that "
                "honours them, such as MinIO or AWS S3, or in a local directory",
                key=key,
            )

    def _require_bucket(self) -> None:
        with self._translate(self._prefix):
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if _status(error) == 404:
                    raise meaning_of("NoSuchBucket", 404, "", url=self.url, key=self._prefix) from error
                raise

    def _full(self, key: StoreKey) -> str:
        return self._prefix + checked_key(key)

    def _get(self, key: StoreKey) -> dict[str, Any]:
        with self._translate(key):
            answer: dict[str, Any] = self._client.get_object(Bucket=self._bucket, Key=self._full(key))
        self._tag(answer, key)
        return answer

    def _put(self, key: StoreKey, body: bytes, **condition: str) -> str:
        return self._put_at(self._full(key), body, **condition)

    def _put_at(self, full_key: str, body: bytes, **condition: str) -> str:
        try:
            with self._translate(full_key):
                answer = self._client.put_object(Bucket=self._bucket, Key=full_key, Body=body, **condition)
        except ArtifactNotFound as error:  # the answer to If-Match where there is nothing to match
            raise StoreConflict(f"expected {full_key!r} to be there still, found nothing", key=full_key) from error
        return self._tag(answer, full_key)

    def _tag(self, answer: Mapping[str, Any], key: str) -> str:
        """Return an answer's version tag, which every S3 server sends."""
        if "ETag" not in answer:
            raise no_s3(self.url, key, "an answer without an ETag")
        return str(answer["ETag"])

    @contextlib.contextmanager
    def _translate(self, key: str) -> Iterator[None]:
        """Raise what boto3 raises as what it means to the caller of a store."""
        try:
            yield
        except ClientError as error:
            answer = error.response.get("Error", {})
            code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
            status, is_page = _status(error), _is_web_page(error)
            if is_no_s3(code, status, error.operation_name, is_page=is_page):
                raise no_s3(self.url, key, f"a web page ({status})" if is_page else f"a bare {status}") from error
            if (
                is_page and status >= 500
            ):  # a gateway's; or any page, which boto3 takes for a server error now and then
                code, message = str(status), "a web page; is LESION_S3_ENDPOINT the address of the S3 API?"
            raise meaning_of(code, status, message, url=self.url, key=key) from error
        except RecursionError as error:
            # What boto3 makes of a redirect that it takes for one to another region: it asks again, and again.
            raise no_s3(self.url, key, "redirects") from error
        except (
            NoCredentialsError,
            PartialCredentialsError,
            CredentialRetrievalError,
            NoAuthTokenError,
            TokenRetrievalError,
        ) as error:
            raise StoreRefused(
                f"expected credentials for {self.url}, got: {error}; set LESION_S3_ACCESS_KEY and "
                "LESION_S3_SECRET_KEY, or AWS's own variables",
                key=key,
            ) from error
        except SSLError as error:
            raise StoreRefused(
                f"expected a trusted certificate from the server of {self.url}, got: {error}; check "
                "LESION_S3_ENDPOINT, or make its certificate authority known with AWS_CA_BUNDLE",
                key=key,
            ) from error
        except BotoCoreError as error:
            raise StoreUnavailable(
                f"expected an answer from the server of {self.url} about {key!r}, got: {error}; check that it runs "
                "and LESION_S3_ENDPOINT",
                key=key,
            ) from error


class _Body(io.RawIOBase):
    """An object's bytes as they arrive."""

    def __init__(self, store: S3Store, key: StoreKey, body: Any) -> None:
        self._store, self._key, self._body = store, key, body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._store._translate(self._key):
            block = self._body.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


class _KeptOpen:
    """A stream that ``close`` leaves open: boto3 closes what it uploads, but this one is its owner's."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read
        if stream.seekable():
            self.seek, self.tell = stream.seek, stream.tell

    def close(self) -> None:
        pass


def _session(*, has_keys: bool) -> boto3.session.Session:
    """Return a session; where the keys are given, the profile that the shell names for other programs is not used."""
    unused = {"profile": (None, None, None, None)} if has_keys else None
    return boto3.session.Session(botocore_session=botocore.session.Session(session_vars=unused))


def _client_config(endpoint: str | None) -> Config:
    is_near = endpoint is not None and is_loopback(urlsplit(endpoint).hostname)
    # A server of one's own is asked by path, and at no address that AWS alone has; ~/.aws/config may say otherwise.
    own = {"addressing_style": "path", "use_accelerate_endpoint": False, "use_dualstack_endpoint": False}
    return Config(
        proxies={} if is_near else None,  # None leaves the choice to the environment
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=16,
        retries={"mode": "standard", "total_max_attempts": 1},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "auto"} if endpoint is None else own,
    )


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_web_page(error: ClientError) -> bool:
    headers: Mapping[str, str] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("content-type", "").startswith("text/html")


if TYPE_CHECKING:
    _: Store = S3Store("bucket")
