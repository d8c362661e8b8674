"""What a JPEG's markers say of its samples (ITU-T T.81)."""

import struct

USUAL_BITS = 8
_START = b"\xff\xd8\xff"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that begin a frame: table B.1
_SCAN = 0xDA


def bits(data: bytes) -> int:
    """Return the bits of a sample as the frame's header has them; 8 where there is none to be found."""
    at = 2
    try:
        while data.startswith(_START) and data[at] == 0xFF and data[at + 1] != _SCAN:
            if data[at + 1] in _FRAMES:
                return data[at + 4]
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    except (IndexError, struct.error):
        pass
    return USUAL_BITS
