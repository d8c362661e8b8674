"""What a BMP's header says of its colours, and layouts of which the decoder makes something else."""

import struct

from lesion_core.images.failures import Unusable

_RLE4, _BIT_FIELDS = 2, 3
_V3, _V5 = 56, 124  # headers from which on there is a mask for alpha, and a profile
_EMBEDDED = b"DEBM"  # PROFILE_EMBEDDED, the least significant byte first


def check_layout(data: bytes) -> None:
    """See that Pillow 12 reads the pixels as they are meant.

    Raises:
        Unusable: Runs of four bits, whose odd lengths it miscounts, or alpha in 16 bits, which it drops.
    """
    size, bits, compression = _header(data)
    if compression == _RLE4:
        raise Unusable("the BMP is packed in runs of 4 bits; export it as PNG")
    if compression == _BIT_FIELDS and bits == 16 and size >= _V3 and struct.unpack_from("<I", data, 66)[0]:
        raise Unusable("the BMP has transparency in 16 bits a pixel; export it as PNG")


def embedded_profile(data: bytes) -> bytes | None:
    """Return the ICC profile of a BMP, if it has one."""
    if _header(data)[0] != _V5 or data[70:74] != _EMBEDDED:
        return None
    start, length = struct.unpack_from("<II", data, 126)
    return data[14 + start : 14 + start + length]


def _header(data: bytes) -> tuple[int, int, int]:
    """Return size of the header, bits a pixel and kind of compression."""
    (size,) = struct.unpack_from("<I", data, 14)
    bits, compression = struct.unpack_from("<HI", data, 28) if size >= 40 else (0, 0)
    return size, bits, compression
