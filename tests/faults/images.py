"""Image files of every kind that may come, usable and not; each function returns a file's bytes."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageDraw

from tests.faults.files import png, tiff
from tests.faults.files.patches import decode_srgb

SIZE = (48, 32)
SKIN, SPOT, CORNER = (200, 160, 140), (70, 40, 30), (250, 20, 20)
ORIENTATION_TAG = 0x0112
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def sample_image(size: tuple[int, int] = SIZE) -> Image.Image:
    """A dark spot on skin, with a red corner at the upper left that tells every turn of it."""
    width, height = size
    image = Image.new("RGB", size, SKIN)
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 3, height // 4, width - width // 3, height - height // 4), fill=SPOT)
    draw.rectangle((0, 0, width // 5, height // 5), fill=CORNER)
    return image


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    """The file of an image; JPEG at a quality that keeps its colours."""
    stream = io.BytesIO()
    if format_ in ("JPEG", "MPO"):
        options = {"quality": 95, "subsampling": 0, **options}
    image.save(stream, format_, **options)
    return stream.getvalue()


def noise(format_: str = "JPEG", size: tuple[int, int] = SIZE) -> bytes:
    """An image that does not compress, so that a cut falls into its pixels."""
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return encoded(Image.fromarray(pixels), format_)


def cut(data: bytes, share: float) -> bytes:
    """The beginning of a file."""
    return data[: int(len(data) * share)]


def turned() -> bytes:
    """An image that lies on its side and says so."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    return encoded(sample_image().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def with_broken_exif() -> bytes:
    """An image whose EXIF is garbage."""
    return encoded(sample_image(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage")


def sixteen_bit_grey() -> bytes:
    """The image's grey values over the whole range of 16 bits."""
    return encoded(Image.fromarray(np.asarray(sample_image().convert("L")).astype(np.uint16) * 257))


def sixteen_bit_tiff(*, white_is_zero: bool) -> bytes:
    """The same in a TIFF, in the order of bytes that Pillow reads least of."""
    levels = np.asarray(sample_image().convert("L")).astype(int) * 257
    page = tiff.page(65535 - levels, 0, bits=16, big_endian=True) if white_is_zero else tiff.page(levels, 1, bits=16)
    return tiff.tiff(page, big_endian=white_is_zero)


def _copy() -> tiff.Page:
    small = np.asarray(sample_image((24, 16)))
    return tiff.page(small, 2, **{f"t{tiff.SUB_FILE_TYPE}": 1})


def reduced_copy() -> bytes:
    """A TIFF that says of its one page that it is a smaller copy of another image."""
    return tiff.tiff(_copy())


def pyramid() -> bytes:
    """A TIFF with a smaller copy before the image."""
    return tiff.tiff(_copy(), tiff.page(np.asarray(sample_image()), 2))


def with_gamma() -> bytes:
    """The image in linear light, as gAMA tells."""
    linear = decode_srgb(np.asarray(sample_image()) / 255)
    return png.png((linear * 255).round().astype(np.uint8), png.RGB, 8, png.gamma(1.0))


def see_through(mode: str) -> bytes:
    """An image whose lower half is transparent black."""
    image = sample_image().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, SIZE[1] // 2 + 4, SIZE[0], SIZE[1]))
    return encoded(image.convert(mode))


def several(format_: str) -> bytes:
    """Two frames of equal standing."""
    frames = [sample_image(), sample_image().transpose(Image.Transpose.ROTATE_180)]
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:])


def with_preview() -> bytes:
    """What cameras write: a JPEG that carries a small copy of itself."""
    return encoded(sample_image(), "MPO", save_all=True, append_images=[sample_image((24, 16))])


def in_linear_light() -> bytes:
    """The image in a colour space whose tone curve is straight, with the profile that says so."""
    body = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack(">I", body[128:132])[0]):
        tag, offset, _ = struct.unpack(">4sII", body[132 + 12 * number : 144 + 12 * number])
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            body[offset : offset + 16] = b"para\0\0\0\0\0\0\0\0\x00\x01\x00\x00"  # y = x^1.0
    pixels = np.asarray(sample_image()) / 255
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    return encoded(Image.fromarray((linear * 255).round().astype(np.uint8)), icc_profile=bytes(body))


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(side: int) -> bytes:
    """A PNG whose header promises ``side`` × ``side`` pixels, in a hundred bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4096))) + chunk(b"IEND", b"")


def whole_bomb(side: int) -> bytes:
    """A PNG of ``side`` × ``side`` black pixels that are all there, packed a thousand times smaller."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packer, row = zlib.compressobj(1), bytes(side + 1)
    body = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def text_bomb(kind: bytes) -> bytes:
    """A PNG with a comment (or a profile) that unpacks to 64 MB."""
    whole = encoded(sample_image())
    packed = chunk(kind, b"Comment\0\0" + zlib.compress(bytes(64 * 1024 * 1024), 9))
    header_end = len(PNG_SIGNATURE) + 25
    return whole[:header_end] + packed + whole[header_end:]


def with_wrong_checksum() -> bytes:
    """A PNG of which one byte of the pixels was changed on the way."""
    whole = bytearray(noise("PNG"))
    whole[len(whole) // 2] ^= 0xFF
    return bytes(whole)
