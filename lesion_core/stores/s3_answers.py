"""What an S3 server's error answers mean, by code and HTTP status.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; those that begin with XMinio are
MinIO's own. An answer to HEAD has no body, so its code is the bare status.
"""

from collections.abc import Mapping
from typing import Any

from lesion_core.errors import ArtifactNotFound, StoreConflict, StoreError, StoreRefused, StoreUnavailable

_CREDENTIAL = "check LESION_S3_ACCESS_KEY and LESION_S3_SECRET_KEY, and what they are allowed to do"
_REGION = "set LESION_S3_REGION to the bucket's region"
_ROOM = "free some, or raise the bucket's quota"

# code -> class, what to do
_MEANINGS: Mapping[str, tuple[type[StoreError], str]] = {
    "NoSuchKey": (ArtifactNotFound, "check the key, or LESION_STORE"),
    "404": (ArtifactNotFound, "check the key, or LESION_STORE"),
    "412": (StoreConflict, "somebody stored it first: read it again"),
    "PreconditionFailed": (StoreConflict, "somebody stored it first: read it again"),
    "ConditionalRequestConflict": (StoreConflict, "somebody is storing it: read it again"),
    "InvalidAccessKeyId": (StoreRefused, _CREDENTIAL),
    "SignatureDoesNotMatch": (StoreRefused, _CREDENTIAL),
    "ExpiredToken": (StoreRefused, _CREDENTIAL),
    "InvalidToken": (StoreRefused, _CREDENTIAL),
    "403": (StoreRefused, _CREDENTIAL),
    "AccessDenied": (StoreRefused, "allow this access key to list, get, put and delete there"),
    "RequestTimeTooSkewed": (StoreRefused, "set this computer's clock"),
    "AuthorizationHeaderMalformed": (StoreRefused, _REGION),
    "PermanentRedirect": (StoreRefused, _REGION),
    "XMinioStorageFull": (StoreRefused, _ROOM),
    "XMinioAdminBucketQuotaExceeded": (StoreRefused, _ROOM),
    "507": (StoreRefused, _ROOM),
    "407": (
        StoreRefused,
        "a proxy in between asks for a login: put it into HTTPS_PROXY, or name the server in NO_PROXY",
    ),
    "SlowDown": (StoreUnavailable, "try again"),
    "RequestTimeout": (StoreUnavailable, "try again"),
    "429": (StoreUnavailable, "try again"),
}
_NOT_IMPLEMENTED = 501
_PROXY_LOGIN = 407


def meaning_of(code: str, status: int, message: str, *, url: str, key: str) -> StoreError:
    """Return the error that an answer means to the caller of a store.

    Args:
        code: S3's error code; of an answer to HEAD, the status.
        status: HTTP status.
        message: What the server said.
        url: Address of the store.
        key: What the request was about.
    """
    facts: dict[str, Any] = {"key": key, "code": code, "status": status}
    if code == "NoSuchBucket":
        bucket = url.removeprefix("s3://").partition("/")[0]
        return StoreRefused(
            f"expected a bucket {bucket!r}, but the server has none; create it (aws s3 mb s3://{bucket} "
            "--endpoint-url …, or in the server's console), or correct LESION_STORE",
            **facts,
        )
    kind, advice = _MEANINGS.get(code) or _MEANINGS.get(str(status)) or _unknown(status)
    said = " ".join(dict.fromkeys(part for part in (code, message) if part)) or str(status)
    return kind(f"expected {url} to serve {key!r}, got: {said}; {advice}", **facts)


def is_no_s3(code: str, status: int, operation: str, *, is_page: bool) -> bool:
    """Tell whether an error comes from something that is no S3 server: a console, a login, a web server.

    An S3 server explains errors in XML, except in its answer to HEAD; so a bare 404 to anything else does not mean
    that an object is not there. A server error may be a gateway's and pass, and a proxy's login is named as such.

    Args:
        code: S3's error code; where the answer has none, boto3 puts the status here.
        status: HTTP status.
        operation: What was asked, such as ``GetObject``.
        is_page: Whether the answer is HTML.
    """
    if is_page:
        return status < 500 and status != _PROXY_LOGIN
    return code == "404" and not operation.startswith("Head")


def no_s3(url: str, key: str, got: str) -> StoreRefused:
    """Return the error for an answer that no S3 server gives; ``got`` says what it was."""
    return StoreRefused(
        f"expected an S3 server to answer for {url}, got {got} about {key!r}; check LESION_S3_ENDPOINT: it is the "
        "address of the S3 API, not of a console or another web page",
        key=key,
    )


def _unknown(status: int) -> tuple[type[StoreError], str]:
    if status >= 500 and status != _NOT_IMPLEMENTED:
        return StoreUnavailable, "try again"
    return StoreRefused, "the server does not take such a request"
