"""A file's samples, decoded, as upright RGB in sRGB on white."""

import io

import numpy as np
from PIL import Image, ImageChops, ImageFile

from lesion_core.images import directories, png
from lesion_core.images.colour import grey_to_srgb, to_srgb
from lesion_core.images.failures import Unusable
from lesion_core.images.opening import Opened

Box = tuple[int, int, int, int]
_WHITE = (255, 255, 255)
_DEEP = "I;16"
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L", "I;16N")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright_rgb(file: Opened) -> Image.Image:
    """Decode a file; return mode RGB.

    Raises:
        Unusable: Its samples have no known black and white. Whatever Pillow raises besides.
    """
    if file.image.mode not in _MODES:
        raise Unusable(f"its colour mode {file.image.mode!r} is not one with a known black and white")
    covered = _covered(file)
    file.image.load()
    image = _deep_grey(file) if file.image.mode.startswith(_DEEP) else _rgb(file)
    if covered:
        image = _laid_on_white(image.crop(covered), None, image.size, covered)
    return _turned(file, image)


def _rgb(file: Opened) -> Image.Image:
    """Return 8-bit samples of any mode as RGB on white."""
    image = file.image
    mask = _clear_of_png(file, file.header) if file.header else None
    is_grey = image.mode in ("1", "L", "LA") or (file.header is not None and file.header.is_grey)
    if not image.has_transparency_data:
        plain = image.convert("L" if is_grey else "RGB") if image.mode in ("1", "P") else image
        colours = to_srgb(plain, file.profiles)
        return colours if mask is None else _laid_on_white(colours, ImageChops.invert(mask))
    layers = image.convert("RGBA")
    plain = layers.getchannel("R") if is_grey else layers.convert("RGB")
    return _laid_on_white(to_srgb(plain, file.profiles), layers.getchannel("A"))


def _deep_grey(file: Opened) -> Image.Image:
    """Return greyscale of 12 or 16 bits as RGB on white."""
    levels = np.asarray(file.image)
    deepest, is_turned_over = (file.layout.deepest, file.layout.is_turned_over) if file.layout else (65535, False)
    image = grey_to_srgb(levels, deepest, file.profiles, is_turned_over=is_turned_over)
    clear = file.header.clear if file.header else None
    return image if clear is None else _laid_on_white(image, Image.fromarray(levels != clear[0]))


def _clear_of_png(file: Opened, header: png.Header) -> Image.Image | None:
    """See to a PNG's one transparent colour: return where it is, or tell Pillow, which compares samples of 8 bits."""
    if header.kind == png.PALETTE:
        return None
    file.image.info.pop("transparency", None)
    clear = header.clear
    if clear is None:
        return None
    if header.depth == 16:
        return _where(file, clear)
    scaled = tuple(value * 255 // (2**header.depth - 1) for value in clear)
    file.image.info["transparency"] = scaled if len(scaled) > 1 else scaled[0]
    return None


def _where(file: Opened, clear: tuple[int, ...]) -> Image.Image:
    """Return where an RGB PNG of 16 bits has this very colour: mode L, 255 there and 0 elsewhere.

    Pillow 12 keeps the high byte of such samples; the low one is decoded for this alone.
    """
    low = Image.open(io.BytesIO(file.data), formats=("PNG",))
    assert isinstance(low, ImageFile.ImageFile)
    low.tile = [
        tile._replace(args="RGB;16L") for tile in low.tile or ()
    ]  # its second byte, of the two in the wrong order
    found = Image.new("L", file.image.size, 255)
    for channel, value in zip("RGB", clear, strict=True):
        for image, wanted in ((file.image, value >> 8), (low, value & 255)):
            hit = image.getchannel(channel).point([255 * (level == wanted) for level in range(256)])
            found = ImageChops.darker(found, hit)
    return found


def _covered(file: Opened) -> Box | None:
    """Return the part that a GIF's one frame covers, if it is not all; browsers show nothing in the rest."""
    box = file.image.tile[0].extents if file.format == "GIF" and file.image.tile else None
    return None if box == (0, 0, *file.image.size) else box


def _laid_on_white(
    image: Image.Image, mask: Image.Image | None, size: tuple[int, int] | None = None, box: Box | None = None
) -> Image.Image:
    canvas = Image.new("RGB", size or image.size, _WHITE)
    canvas.paste(image, box, mask)
    return canvas


def _turned(file: Opened, image: Image.Image) -> Image.Image:
    """Apply EXIF's orientation; Pillow sees to a TIFF's, and damaged EXIF states none."""
    exif = file.image.info.get("exif")
    if file.format == "TIFF" or not isinstance(exif, bytes):
        return image
    turn = _TURNS.get(directories.orientation(exif))
    return image if turn is None else image.transpose(turn)
