"""The only code that turns bytes into pixels; records, evaluation and the page all come through here.

What a file may hold, and what becomes of it:

- **Formats** JPEG (also the multi-picture format that cameras write), PNG, WebP, TIFF, BMP, GIF. Nothing else is
  even tried, so no parser with side effects (EPS, WMF) is ever reached. A camera's raw file is recognised by its
  content and refused, because what opens without developing it is its preview.
- **Orientation** from EXIF, or from a TIFF's own tag, is applied; nothing else of EXIF decides anything, and
  nothing of it leaves this package.
- **Colour** is converted to sRGB: from an embedded ICC profile (JPEG, PNG, WebP, TIFF, BMP), in a PNG from the first
  of ``cICP``, ``iCCP``, ``sRGB`` and ``gAMA`` with ``cHRM`` that can be used, as the PNG standard and browsers have
  it. A broken or unfitting profile is ignored, as browsers do. CMYK without a profile, greyscale, palette and one-bit
  images become RGB by their plain definition.
- **Greyscale of 12 or 16 bits** is scaled over its full range, never clipped; where white is zero, it is turned over.
- **Transparency** is laid on white, which is what a browser shows.
- **Several frames** (animations, multi-page TIFF) are refused: which one is meant cannot be known. Reduced copies of
  a TIFF's one full-size image do not count; where there is no full-size image, the file is refused.
- **Colour constancy**, where a model asks for it: after scaling, the lamp's colour is estimated by shades of grey
  (Finlayson & Trezzi 2004, p = 6; on dermoscopy: Barata et al. 2015, doi:10.1109/JBHI.2014.2336473) and divided out.
- **Size**: at least ``MIN_SIDE_PX`` a side and at most ``MAX_PIXELS`` in all, read from the header before decoding.

docs/bad-input.md compares what comes out with Chromium, format by format.
"""

from lesion_core.images.decoding import MIN_SIDE_PX, ImageFacts, decode, header_size, probe
from lesion_core.images.failures import MAX_PIXELS
from lesion_core.images.opening import FORMATS
from lesion_core.images.preprocessing import Preprocessing, level_colours, preprocess, preprocess_each, resize

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MIN_SIDE_PX",
    "ImageFacts",
    "Preprocessing",
    "decode",
    "header_size",
    "level_colours",
    "preprocess",
    "preprocess_each",
    "probe",
    "resize",
]
