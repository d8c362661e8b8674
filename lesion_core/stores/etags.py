"""What an S3 server's ETag says of the bytes that it has received.

Unless it encrypts with keys of its own, it is their MD5; of an object that came in parts, the MD5 of the parts' MD5s
and their number (AWS, "Checking object integrity in Amazon S3"). The server makes it from what has arrived, so one
that fits proves as much as reading the object back. One that does not fit may just be made in another way.
"""

import hashlib
import io
from pathlib import Path
from typing import BinaryIO

from lesion_core.types import Sha256

PART_BYTES = 8 << 20  # what is longer is sent in parts of this length


def names_content(tag: str, path: Path, sha256: Sha256) -> bool:
    """Say whether a tag is that of a file's bytes, whole or in parts, and these are the ones that are meant."""
    expected, _, n_parts = tag.strip('"').partition("-")
    meant, whole, parts = hashlib.sha256(), _md5(), []
    with path.open("rb") as stream:
        while block := stream.read(PART_BYTES):
            meant.update(block)
            if n_parts:
                parts.append(_md5(block).digest())
            else:
                whole.update(block)
    digest = _md5(b"".join(parts)) if n_parts else whole
    is_counted = not n_parts or n_parts == str(len(parts))
    return is_counted and digest.hexdigest() == expected and meant.hexdigest() == sha256


def fits_one_part(source: BinaryIO) -> bool:
    """Say whether a stream is known to be sent in one request."""
    if not source.seekable():
        return False
    start = source.tell()
    end = source.seek(0, io.SEEK_END)
    source.seek(start)
    return end - start < PART_BYTES


def _md5(body: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(body, usedforsecurity=False)
