"""What decoders raise on bad bytes, translated in one place."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from lesion_core.errors import ImageRejected

MAX_PIXELS = 80_000_000  # about 240 MB as RGB; the archive's largest images have some 50 million

# Parsers of hostile bytes fail in many ways; a warning counts where warnings are made errors.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AttributeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Warning,
)


class Unusable(Exception):
    """A file that cannot be used; its text is the reason, in words that are safe to show."""


@contextmanager
def translated(image_id: str) -> Iterator[None]:
    """Turn whatever Pillow raises on bad bytes into ``ImageRejected``."""
    try:
        yield
    except Unusable as error:
        raise rejected(image_id, str(error)) from error
    except UnidentifiedImageError as error:
        raise rejected(image_id, "the file is no JPEG, PNG, WebP, TIFF, BMP or GIF image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = MAX_PIXELS // 1_000_000
        raise rejected(image_id, f"the image has more than {limit} million pixels") from error
    except DECODER_ERRORS as error:
        if str(error).startswith("Unsupported BMP"):
            raise rejected(image_id, "the BMP's layout is not one that is read; export it as PNG") from error
        raise rejected(image_id, f"the image is damaged or cut short ({error})") from error


def rejected(image_id: str, reason: str) -> ImageRejected:
    """Return the error that says why an image cannot be used, and what to do if the reason does not."""
    advice = "" if "; " in reason else "; export or download it again"
    return ImageRejected(
        f"image {image_id}: expected one whole still image, but {reason}{advice}", image_id=image_id, reason=reason
    )
