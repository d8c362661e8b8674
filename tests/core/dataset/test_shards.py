"""From bytes to shards: continued after a kill, flat in memory, and blind to everything but pixels."""

import io
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from lesion_core.dataset import shards
from lesion_core.dataset.encoding import Shard
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import open_dataset, shard_name
from lesion_core.dataset.shards import write_shards
from lesion_core.dataset.splitting.duplicates import thumbnail_of
from lesion_core.images import Preprocessing, preprocess
from lesion_core.progress import Progress, ignore_progress
from lesion_core.stores.folders import materialise
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import draw, encode, frame, image_row, simple_images, store_snapshot

SIZE = Preprocessing(size_px=32)
SHORT = 8  # images a shard

# Stops for good once two shards are there, the third being made.
CHILD = """
import sys, time
from pathlib import Path
import pandas as pd
from lesion_core.dataset import shards
from lesion_core.images import Preprocessing
from lesion_core.stores.local import LocalStore

def tell(news):
    if news.done == 16:
        print("two", flush=True)
        time.sleep(600)

place = Path(sys.argv[1])
shards.SHARD_ROWS = 8
shards.write_shards(LocalStore(place / "store"), pd.read_parquet(place / "images.parquet"),
    Preprocessing(size_px=32), place / "out", thumbnails_folder=place / "thumbnails", on_progress=tell)
"""


@pytest.fixture(autouse=True)
def short_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("shards", "prepare"):
        monkeypatch.setattr(f"lesion_core.dataset.{module}.SHARD_ROWS", SHORT)


@pytest.fixture
def images(store: LocalStore) -> pd.DataFrame:
    made = simple_images(range(20))
    for row, data in made:
        store.write(row["image_key"], data)
    return frame([row for row, _ in made])


def make(store: LocalStore, images: pd.DataFrame, place: Path, reports: list[int] | None = None) -> np.ndarray:
    return write_shards(
        store,
        images,
        SIZE,
        place / "out",
        thumbnails_folder=place / "thumbnails",
        on_progress=(lambda news: reports.append(news.done)) if reports is not None else ignore_progress,
    )


def pixels(place: Path) -> np.ndarray:
    return np.concatenate([np.load(path) for path in sorted((place / "out" / "records").iterdir())])


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    decoded: list[str] = []
    original = shards.preprocess_each

    def count(data: bytes, sizes: tuple[Preprocessing, ...], *, image_id: str) -> tuple[np.ndarray, ...]:
        decoded.append(image_id)
        return original(data, sizes, image_id=image_id)

    monkeypatch.setattr(shards, "preprocess_each", count)
    return decoded


def test_pixels_and_thumbnails_are_those_of_the_one_preprocessing(
    store: LocalStore, images: pd.DataFrame, tmp_path: Path
) -> None:
    reports: list[int] = []
    thumbnails = make(store, images, tmp_path, reports)
    assert reports == [8, 16, 20]
    for place, row in enumerate(images.itertuples()):
        data = store.read(str(row.image_key))
        np.testing.assert_array_equal(pixels(tmp_path)[place], preprocess(data, SIZE, image_id="x"))
        small = preprocess(data, Preprocessing(size_px=32), image_id="x")
        np.testing.assert_array_equal(thumbnails[place], thumbnail_of(small))


def test_a_killed_preparation_continues_with_the_shards_that_were_whole(
    store: LocalStore, images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.to_parquet(tmp_path / "images.parquet")
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "two\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    left = sorted(path.name for path in (tmp_path / "out" / "records").iterdir())
    assert left[-2:] == ["shard-00000.npy", "shard-00001.npy"]
    assert len(left) == 3
    assert left[0].endswith(".partial")

    decoded, reports = counted(monkeypatch), list[int]()
    thumbnails = make(store, images, tmp_path, reports)
    assert sorted(decoded) == [f"ISIC_{number:07d}" for number in range(16, 20)]
    assert reports == [8, 16, 20]
    assert not list((tmp_path / "out").rglob(".*"))
    np.testing.assert_array_equal(thumbnails, make(store, images, tmp_path / "fresh"))
    np.testing.assert_array_equal(pixels(tmp_path), pixels(tmp_path / "fresh"))


def test_a_leftover_shard_with_a_flipped_bit_is_made_again(
    store: LocalStore, images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store, images, tmp_path)
    before = pixels(tmp_path)
    path = tmp_path / "out" / shard_name(1)
    body = bytearray(path.read_bytes())
    body[1_000] ^= 1
    path.write_bytes(body)
    decoded = counted(monkeypatch)
    make(store, images, tmp_path)
    assert sorted(decoded) == [f"ISIC_{number:07d}" for number in range(8, 16)]
    np.testing.assert_array_equal(pixels(tmp_path), before)


@pytest.mark.parametrize("damage", [None, b"no thumbnails"], ids=["gone", "damaged"])
def test_without_thumbnails_no_shard_counts(
    store: LocalStore, images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    expected = np.array(make(store, images, tmp_path))
    kept = tmp_path / "thumbnails" / shards.THUMBNAILS_NAME
    kept.unlink() if damage is None else kept.write_bytes(damage)
    decoded = counted(monkeypatch)
    np.testing.assert_array_equal(make(store, images, tmp_path), expected)
    assert len(decoded) == 20


def test_an_interrupted_preparation_leaves_no_half_file(
    store: LocalStore, images: pd.DataFrame, tmp_path: Path
) -> None:
    def stop(news: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(
            store, images, SIZE, tmp_path / "out", thumbnails_folder=tmp_path / "thumbnails", on_progress=stop
        )
    assert [path.name for path in (tmp_path / "out" / "records").iterdir()] == ["shard-00000.npy"]


def test_memory_does_not_hold_the_records(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 32)
    data = encode(draw(1))
    rows = [image_row(number, data) for number in range(128)]
    for row in rows:
        store.write(row["image_key"], data)
    images, size = frame(rows), Preprocessing(size_px=256)
    tracemalloc.start()
    thumbnails = write_shards(
        store, images, size, tmp_path / "out", thumbnails_folder=tmp_path / "t", on_progress=ignore_progress
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(thumbnails, np.memmap)
    assert len(Shard.open(tmp_path / "out" / shard_name(3), 256)) == 32
    assert peak < 32 * 256 * 256 * 3 / 2  # half of one shard of four


def marked_images(marker: str) -> list[tuple[str, bytes]]:
    """The same words wherever a file has room for words: EXIF, XMP, comments, text chunks, a colour profile."""
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = exif[0x9286] = marker  # description, artist, user comment
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{marker}</x:xmpmeta>'.encode()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + marker.encode()
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", marker)
    words.add_itxt("Author", marker, zip=False)
    jpeg = encode(draw(0), "JPEG", exif=exif, xmp=xmp, comment=marker.encode(), icc_profile=profile, quality=95)
    png = encode(draw(1), "PNG", exif=exif, pnginfo=words)
    webp = encode(draw(2), "WEBP", exif=exif, xmp=xmp, quality=95)
    return [("jpg", jpeg + marker.encode()), ("png", png), ("webp", webp)]


def test_nothing_but_pixels_of_a_file_reaches_the_dataset(store: LocalStore, tmp_path: Path) -> None:
    marker = "Erika Mustermann 1964-08-12"
    images = simple_images(range(10, 30))
    for number, (_, data) in enumerate(marked_images(marker)):
        assert marker.encode() in data
        images.append((image_row(number, data), data))
    snapshot = store_snapshot(store, images, tmp_path / "snapshot")
    ref = prepare(snapshot, PrepareOptions(name="private", size_px=32), store, workdir=tmp_path / "work")
    opened = open_dataset(store, ref, tmp_path / "cache")
    assert len(opened.pixels(opened.rows)) == 23
    for path in materialise(store, ref, tmp_path / "cache").rglob("*"):
        if path.is_file():
            words = path.read_bytes()
            if path.suffix == ".parquet":  # compressed
                words = pd.read_parquet(io.BytesIO(words)).to_csv().encode()
            assert marker.encode() not in words, path.name
            assert marker.encode("utf-16-le") not in words, path.name
            assert path.suffix != ".npy" or b"ISIC_" not in words, path.name
