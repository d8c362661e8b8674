"""Create the bucket that LESION_STORE names, on any S3 server, unless it is there."""

import sys
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lesion_core.settings import LesionSettings


def create_bucket(settings: LesionSettings) -> str:
    """Return the bucket's name once it exists; the caller may run this as often as it likes."""
    address = urlsplit(settings.store)
    if address.scheme != "s3" or not address.netloc:
        sys.exit(f"expected LESION_STORE as s3://bucket/prefix, got {settings.store!r}")
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key.get_secret_value() if settings.s3_access_key else None,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else None,
        config=Config(retries={"max_attempts": 10, "mode": "standard"}),
    )
    try:
        client.create_bucket(Bucket=address.netloc)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
    client.head_bucket(Bucket=address.netloc)  # somebody else's bucket of that name is refused here
    return address.netloc


if __name__ == "__main__":
    print(f"bucket {create_bucket(LesionSettings())} is there")
