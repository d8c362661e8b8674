"""What headers say before anything is decoded, where they are odd, hostile or damaged."""

import logging
import struct
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesion_core.errors import ImageRejected
from lesion_core.images import decode, header_size, probe
from lesion_core.images.colour import matrix_profile, power_curve
from lesion_core.images.directories import orientation
from tests.faults.files import profiles, raw
from tests.faults.files.bmp import bmp
from tests.faults.files.patches import colours, grey
from tests.faults.files.png import RGB, chromaticities, code_points, gamma, icc, png
from tests.faults.files.tiff import ORIENTATION, SUB_FILE_TYPE, SUB_IFDS, Page, page, tiff


def deep_tiff(**options: object) -> bytes:
    return tiff(page(65535 - grey().astype(int) * 257, 0, bits=16, **options))


def copy() -> Page:
    return page(np.ascontiguousarray(colours()[::2, ::2]), 2, **{f"t{SUB_FILE_TYPE}": 1})


SOUND = {
    "a deep TIFF": deep_tiff(rows=7),
    "a packed deep TIFF": deep_tiff(deflate=True),
    "a pyramid": tiff(copy(), page(colours(), 2)),
    "a PNG with colours": png(colours(), RGB, 8, gamma(0.7), chromaticities(profiles.ADOBE_RGB)),
    "a PNG with code points": png(colours(), RGB, 8, code_points(12, 13)),
    "a PNG of 16 bits with a clear colour": png(colours() * 200, RGB, 16, (b"tRNS", bytes(6))),
    "a PNG with a profile": png(colours(), RGB, 8, icc(profiles.rgb_table_profile())),
    "a BMP with a profile": bmp(
        colours(),
        24,
        header=124,
        masks=(0, 0, 0, 0),
        colour=b"DEBM",
        profile=profiles.grey_profile(b"curv" + bytes(8)),
    ),
    "a raw file": raw.with_preview("NIKON CORPORATION"),
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(SOUND)))
def test_damaged_headers_end_in_pixels_or_a_rejection(data: st.DataObject, name: str) -> None:
    body = bytearray(SOUND[name])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, min(len(body), 400) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(body), image_id="a")
    except ImageRejected:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


@pytest.mark.parametrize("name", sorted(SOUND))
@pytest.mark.parametrize("share", [0.02, 0.1, 0.4, 0.9])
def test_cut_files_are_refused(name: str, share: float) -> None:
    with pytest.raises(ImageRejected):
        decode(SOUND[name][: int(len(SOUND[name]) * share)], image_id="a")


def reason(body: bytes) -> str:
    with pytest.raises(ImageRejected) as caught:
        decode(body, image_id="a")
    return str(caught.value.reason)


def test_advice_is_given_once() -> None:
    with pytest.raises(ImageRejected, match=r"Nikon NEF\); export it as JPEG or TIFF$"):
        decode(raw.with_preview("NIKON CORPORATION"), image_id="a")
    with pytest.raises(ImageRejected, match=r"the file is empty; export or download it again$"):
        decode(b"", image_id="a")


def test_directories_that_point_in_a_circle_are_followed_once() -> None:
    whole = bytearray(tiff(page(colours(), 2)))
    (start,) = struct.unpack_from("<I", whole, 4)
    (n,) = struct.unpack_from("<H", whole, start)
    struct.pack_into("<I", whole, start + 2 + 12 * n, start)
    np.testing.assert_array_equal(decode(bytes(whole), image_id="a"), colours())


def test_directories_without_an_end_are_refused() -> None:
    links = b"".join(struct.pack("<HI", 0, 8 + 6 * (number + 1)) for number in range(60_000))
    assert "no end" in reason(b"II*\0" + struct.pack("<I", 8) + links)


def test_directories_outside_of_the_file_are_refused() -> None:
    assert "out of the file" in reason(b"MM\0*" + struct.pack(">I", 1 << 30) + bytes(64))


def test_a_sub_directory_outside_of_the_file_is_refused() -> None:
    assert "out of the file" in reason(tiff(page(colours(), 2, **{f"t{SUB_IFDS}": [1 << 30]})))


def test_a_header_s_size_is_that_of_the_full_size_page(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "pyramid.tif"
    path.write_bytes(SOUND["a pyramid"])
    assert header_size(path) == (64, 48)
    assert probe(SOUND["a pyramid"], image_id="a").width == 64


def test_a_raw_file_has_no_header_s_size(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "raw.jpg"
    path.write_bytes(SOUND["a raw file"])
    with pytest.raises(ImageRejected, match="Nikon"):
        header_size(path)


@pytest.mark.parametrize(
    ("exif", "stated"),
    [
        (b"", 1),
        (b"Exif\0\0", 1),
        (b"Exif\0\0II*\0", 1),
        (b"II*\0\xff\xff\xff\xff", 1),
        (b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0), 6),  # no room for a next one
        (b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", ORIENTATION, 3, 1, 8, 0) + bytes(4), 8),
        (b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", ORIENTATION, 3, 1, 9, 0) + bytes(4), 1),
        (b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", ORIENTATION, 2, 1, 6, 0) + bytes(4), 6),
        (b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", ORIENTATION, 4, 99, 1 << 30) + bytes(4), 1),
    ],
)
def test_orientation_is_read_and_nothing_else(exif: bytes, stated: int) -> None:
    assert orientation(exif) == stated


@pytest.mark.parametrize("points", [((0, 0),) * 4, ((0.3, 0.3),) * 4])
def test_a_space_that_is_none_has_no_profile(points) -> None:  # type: ignore[no-untyped-def]
    assert matrix_profile(points, power_curve(2.2)) is None


def test_what_pillow_warns_of_in_metadata_is_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    import importlib

    from lesion_core.images import opening

    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        importlib.reload(opening)  # its filters, which pytest takes away
        warnings.warn_explicit(
            "Corrupt EXIF data", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin"
        )
    assert caught == []
