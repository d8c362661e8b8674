"""Bytes to pixels: what is converted how, and what is refused in which words."""

import io
import logging
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw
from pydantic import ValidationError

from lesion_core import images
from lesion_core.errors import ImageRejected
from lesion_core.images import ImageFacts, Preprocessing, decode, preprocess, preprocess_each, probe, resize

ORIENTATION_TAG = 0x0112
GPS_TAG = 0x8825


def sample_image(width: int = 60, height: int = 40) -> Image.Image:
    """An image whose corners differ, so that every turn of it can be determined."""
    image = Image.new("RGB", (width, height), (200, 160, 140))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 3, height // 3), fill=(250, 20, 20))
    draw.ellipse((width // 2, height // 2, width - 4, height - 4), fill=(70, 40, 30))
    return image


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def rejected(data: bytes) -> str:
    with pytest.raises(ImageRejected) as caught:
        decode(data, image_id="ISIC_7")
    assert caught.value.image_id == "ISIC_7"
    assert "ISIC_7" in str(caught.value)
    assert not caught.value.transient
    return str(caught.value.reason)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_every_accepted_format_gives_rgb_and_its_facts(format_: str) -> None:
    data = encoded(sample_image(), format_)
    pixels = decode(data, image_id="a")
    assert pixels.shape == (40, 60, 3)
    assert pixels.dtype == np.uint8
    assert probe(data, image_id="a") == ImageFacts(width=60, height=40, format=format_.lower())
    assert np.abs(pixels[2, 2].astype(int) - (250, 20, 20)).max() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    upright = np.asarray(sample_image())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(data, image_id="a"), upright)
    assert probe(data, image_id="a").width == 60


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow's own word on it, not a failure
def test_broken_exif_does_not_cost_the_image() -> None:
    data = encoded(sample_image(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage")
    assert decode(data, image_id="a").shape == (40, 60, 3)


def test_position_and_camera_never_come_out(caplog: pytest.LogCaptureFixture) -> None:
    exif = Image.Exif()
    exif.get_ifd(GPS_TAG)[1] = "N"
    exif[0x010F] = "SECRET-CAMERA"
    data = encoded(sample_image(), "JPEG", exif=exif)
    assert b"SECRET-CAMERA" in data
    caplog.set_level(logging.DEBUG)
    pixels = decode(data, image_id="a")
    assert "SECRET-CAMERA" not in caplog.text
    assert type(pixels) is np.ndarray
    assert b"SECRET-CAMERA" not in pixels.tobytes()
    assert set(ImageFacts.model_fields) == {"width", "height", "format"}


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    pixels = decode(encoded(Image.fromarray(ramp)), image_id="a")
    assert (pixels[..., 0] == pixels[..., 2]).all()
    np.testing.assert_allclose(pixels[..., 0], ramp / 257, atol=0.51)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_other_colour_modes_become_rgb(mode: str) -> None:
    data = encoded(sample_image().convert(mode), "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")
    pixels = decode(data, image_id="a")
    assert pixels.shape == (40, 60, 3)
    assert 0 < pixels.std() < 128


def test_cmyk_white_is_white_and_black_is_black() -> None:
    ink = Image.new("CMYK", (32, 16), (0, 0, 0, 0))
    ink.paste((0, 0, 0, 255), (0, 0, 16, 16))
    pixels = decode(encoded(ink, "TIFF"), image_id="a")
    assert pixels[:, :16].max() == 0
    assert pixels[:, 16:].min() == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    image = Image.new("RGBA", (32, 16), (0, 0, 0, 0))
    image.paste((10, 10, 10, 255), (0, 0, 16, 16))
    pixels = decode(encoded(image.convert(mode)), image_id="a")
    assert pixels[:, 16:].min() == 255
    assert pixels[:, :16].max() < 30


def linear_light_profile() -> bytes:
    """sRGB's own profile with its tone curves made straight."""
    body = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack(">I", body[128:132])[0]):
        tag, offset, _ = struct.unpack(">4sII", body[132 + 12 * number : 144 + 12 * number])
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            body[offset : offset + 16] = b"para\0\0\0\0\0\0\0\0\x00\x01\x00\x00"  # y = x^1.0
    return bytes(body)


def test_an_embedded_profile_is_converted_to_srgb() -> None:
    grey = Image.new("RGB", (32, 32), (55, 55, 55))
    pixels = decode(encoded(grey, icc_profile=linear_light_profile()), image_id="a")
    assert abs(int(pixels[0, 0, 0]) - 128) <= 2  # linear 0.2157 is sRGB 0.5


def test_an_unreadable_profile_is_ignored() -> None:
    pixels = decode(encoded(sample_image(), icc_profile=b"no profile at all"), image_id="a")
    np.testing.assert_array_equal(pixels, np.asarray(sample_image()))


def test_a_profile_of_another_colour_mode_is_ignored() -> None:
    pixels = decode(encoded(sample_image().convert("CMYK"), "TIFF", icc_profile=linear_light_profile()), image_id="a")
    np.testing.assert_array_equal(pixels, np.asarray(sample_image()))


def test_a_grey_image_may_have_a_profile_of_rgb_as_browsers_have_it() -> None:
    grey = Image.new("L", (32, 32), 55)
    pixels = decode(encoded(grey, icc_profile=linear_light_profile()), image_id="a")
    assert np.abs(pixels.astype(int) - 128).max() <= 2  # linear 0.2157 is sRGB 0.5


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE HTML><html>404</html>", "HTML"),
        (b"\xef\xbb\xbf  <html>", "HTML"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "XML"),
        (b'{"detail": "Not found."}', "JSON"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic" + bytes(64), "HEIC"),
        (bytes(128) + b"DICM" + bytes(64), "DICOM"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "no JPEG"),
        (bytes(range(256)) * 8, "no JPEG"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, words: str) -> None:
    assert words in rejected(data)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_file_is_refused(format_: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), format_)
    reason = rejected(data[: int(len(data) * share)])
    assert "cut short" in reason or "no JPEG" in reason


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused(format_: str) -> None:
    frames = [sample_image(), sample_image().rotate(90)]
    data = encoded(frames[0], format_, save_all=True, append_images=frames[1:])
    assert "2 frames" in rejected(data)


def test_the_first_image_of_a_camera_s_mpo_is_taken() -> None:
    data = encoded(sample_image(), "MPO", save_all=True, append_images=[sample_image(30, 20)])
    assert probe(data, image_id="a") == ImageFacts(width=60, height=40, format="jpeg")


def png_header(side: int) -> bytes:
    """The start of a PNG of ``side`` × ``side`` pixels, without any."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def test_a_bomb_is_refused_from_its_header() -> None:
    assert "more than 80 million" in rejected(png_header(9_000))


@pytest.mark.parametrize("side", [9_500, 20_000])  # a warning of Pillow's, and an error of Pillow's
def test_what_the_decoder_itself_calls_a_bomb_is_refused_in_the_same_words(side: int) -> None:
    assert "more than 80 million" in rejected(png_header(side))


def test_a_speck_is_refused() -> None:
    assert "less than 16 a side" in rejected(encoded(sample_image(400, 15)))


def test_a_mode_without_a_white_is_refused() -> None:
    depth = Image.fromarray(np.full((32, 32), 0.5, np.float32))
    assert "'F'" in rejected(encoded(depth, "TIFF"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), format_=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"]))
def test_damaged_bytes_decode_or_are_rejected_and_nothing_else(data: st.DataObject, format_: str) -> None:
    body = bytearray(encoded(sample_image(), format_))
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(body), image_id="a")
    except ImageRejected:
        return
    assert pixels.ndim == 3
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


@given(st.binary(max_size=600))
def test_any_bytes_end_in_pixels_or_a_rejection(body: bytes) -> None:
    try:
        decode(body, image_id="a")
    except ImageRejected as error:
        assert error.reason  # noqa: PT017 - both outcomes are allowed


@pytest.mark.parametrize("side", [32, 128, 300])
def test_preprocessing_is_decoding_then_scaling(side: int) -> None:
    data = encoded(sample_image(640, 480), "JPEG")
    preprocessing = Preprocessing(size_px=side)
    pixels = preprocess(data, preprocessing, image_id="a")
    assert pixels.shape == (side, side, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, resize(decode(data, image_id="a"), preprocessing))
    np.testing.assert_array_equal(pixels, preprocess(data, preprocessing, image_id="b"))
    small, same = preprocess_each(data, (Preprocessing(size_px=32), preprocessing), image_id="a")
    np.testing.assert_array_equal(pixels, same)
    np.testing.assert_array_equal(small, preprocess(data, Preprocessing(size_px=32), image_id="a"))


def test_the_whole_frame_is_squashed_to_a_square() -> None:
    pixels = resize(np.asarray(sample_image(600, 150)), Preprocessing(size_px=60))
    expected = resize(np.asarray(sample_image(600, 600)), Preprocessing(size_px=60))
    assert np.abs(pixels.astype(int) - expected.astype(int)).mean() < 6


def test_scaling_down_averages_instead_of_picking() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = resize(stripes, Preprocessing(size_px=32))
    assert np.abs(pixels.astype(int) - 128).max() <= 4


@pytest.mark.parametrize("turn", [lambda x: x[:, ::-1], lambda x: x[::-1], lambda x: np.rot90(x)])
def test_scaling_treats_all_sides_alike(turn: Callable[[np.ndarray], np.ndarray]) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (200, 200, 3), np.uint8)
    preprocessing = Preprocessing(size_px=32)
    difference = resize(turn(pixels), preprocessing).astype(int) - turn(resize(pixels, preprocessing))
    assert np.abs(difference).max() <= 1


def test_preprocessing_names_its_fields_strictly() -> None:
    with pytest.raises(ValidationError, match="size"):
        Preprocessing.model_validate({"size": 128})
    with pytest.raises(ValidationError, match="resize"):
        Preprocessing.model_validate({"size_px": 128, "resize": "crop"})


def test_limits_are_far_below_what_the_decoder_warns_of() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert images.MAX_PIXELS < Image.MAX_IMAGE_PIXELS


LEVELLED = Preprocessing(size_px=64, colour_constancy="shades-of-gray")


def _skin() -> np.ndarray:
    """Skin with a lesion, far enough from black and white to be lit otherwise without loss."""
    noise = np.random.default_rng(3).integers(-12, 13, (64, 64, 3))
    pixels = np.full((64, 64, 3), (150, 110, 95)) + noise
    pixels[20:44, 24:40] -= (70, 60, 50)
    return pixels.astype(np.uint8)


@pytest.mark.parametrize("lamp", [(1.3, 1.0, 0.8), (0.7, 1.0, 1.3), (1.0, 1.25, 1.0)])
def test_shades_of_grey_take_out_the_lamp_s_colour(lamp: tuple[float, float, float]) -> None:
    skin = _skin()
    lit = np.rint(skin * np.array(lamp)).astype(np.uint8)
    plain, levelled = (resize(pixels, LEVELLED).astype(float) for pixels in (skin, lit))
    levelled *= plain.mean() / levelled.mean()  # brightness is not the lamp's colour
    assert np.abs(levelled - plain).max() < 3
    assert np.abs(lit / lit.mean() - skin / skin.mean()).max() > 0.1  # which it was


def test_levelled_means_of_the_channels_are_equal() -> None:
    levelled = resize(_skin(), LEVELLED).astype(float)
    lamps = (levelled**6).mean(axis=(0, 1)) ** (1 / 6)
    assert lamps == pytest.approx(np.full(3, lamps.mean()), rel=0.005)


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_are_levelled_to_themselves(value: int) -> None:
    assert (resize(np.full((64, 64, 3), value, np.uint8), LEVELLED) == value).all()


def test_without_a_blue_channel_nothing_is_said_of_the_lamp() -> None:
    pixels = _skin() * np.array([1, 1, 0], np.uint8)
    np.testing.assert_array_equal(resize(pixels, LEVELLED), resize(pixels, Preprocessing(size_px=64)))


def test_the_one_path_levels_files_and_pixels_alike() -> None:
    data = encoded(sample_image(640, 480), "JPEG")
    levelled = preprocess(data, LEVELLED, image_id="a")
    np.testing.assert_array_equal(levelled, resize(decode(data, image_id="a"), LEVELLED))
    assert (levelled != preprocess(data, Preprocessing(size_px=64), image_id="a")).any()


def test_files_from_before_there_was_a_choice_are_read_and_written_as_before() -> None:
    before = {"size_px": 64, "resize": "squash", "version": 1}
    assert Preprocessing.model_validate(before) == Preprocessing(size_px=64)
    assert Preprocessing(size_px=64).model_dump(mode="json") == before
    assert Preprocessing.model_validate(LEVELLED.model_dump(mode="json")) == LEVELLED
