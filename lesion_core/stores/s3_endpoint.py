"""The address of an S3 server, checked before anything is sent there."""

from urllib.parse import urlsplit

from lesion_core.errors import ConfigError


def checked_endpoint(endpoint: str, bucket: str) -> str:
    """Return the address of a server if it is one and does not hold the bucket.

    A server may lie below a path of its own. The bucket does not belong into its address: requests name it once more,
    so that objects would be kept below a key that begins with its name, where no other program looks for them.

    Args:
        endpoint: Such as ``https://s3.example.org``.
        bucket: The store's bucket.

    Raises:
        ConfigError: It is none.
    """
    try:
        parts = urlsplit(endpoint.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _is_none(endpoint) from error
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "expected LESION_S3_ENDPOINT as http://host:port, got an address with a user or password; the keys go "
            "into LESION_S3_ACCESS_KEY and LESION_S3_SECRET_KEY"
        )
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise _is_none(endpoint)
    if parts.path.rstrip("/").rpartition("/")[2] == bucket or host.startswith(f"{bucket}.s3"):
        raise ConfigError(
            f"expected LESION_S3_ENDPOINT without the bucket, got {endpoint!r}; the bucket stands in LESION_STORE, "
            f"as in s3://{bucket}/prefix"
        )
    return endpoint.strip()


def _is_none(endpoint: str) -> ConfigError:
    return ConfigError(
        f"expected LESION_S3_ENDPOINT as http://host:port or https://host, got {endpoint!r}; correct it, or unset it "
        "for AWS"
    )
