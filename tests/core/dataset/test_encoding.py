"""Shards on disk: what is put in comes out, and nothing else does."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lesion_core.dataset.encoding import Shard, ShardWriter
from lesion_core.errors import ArtifactCorrupt, ManifestError

SIZE_PX = 16
PIXELS = np.random.default_rng(5).integers(0, 256, (12, SIZE_PX, SIZE_PX, 3)).astype(np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "records" / "shard-00000.npy"
    writer = ShardWriter(path, len(PIXELS), SIZE_PX)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer.put, reversed(range(len(PIXELS))), reversed(PIXELS)))
    assert not path.exists()
    writer.finish()
    return path


def read(shard: Shard, *rows: int) -> np.ndarray:
    into = np.zeros((len(rows), SIZE_PX, SIZE_PX, 3), np.uint8)
    shard.read(np.array(rows), into, np.arange(len(rows)))
    return into


def flip(path: Path, place: int) -> None:
    body = bytearray(path.read_bytes())
    body[place] ^= 1
    path.write_bytes(body)


def test_records_put_in_any_order_come_out_at_their_places(path: Path) -> None:
    shard = Shard.open(path, SIZE_PX)
    assert len(shard) == len(PIXELS)
    np.testing.assert_array_equal(read(shard, 7, 0, 7, 11), PIXELS[[7, 0, 7, 11]])
    shard.verify()
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def test_numpy_alone_opens_the_pixels(path: Path) -> None:
    np.testing.assert_array_equal(np.load(path), PIXELS)
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), PIXELS)


def test_the_same_pixels_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    again = ShardWriter(tmp_path / "again.npy", len(PIXELS), SIZE_PX)
    for row, pixels in enumerate(PIXELS):
        again.put(row, pixels)
    again.finish()
    assert (tmp_path / "again.npy").read_bytes() == path.read_bytes()


def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "shard.npy", 2, SIZE_PX)
    writer.put(0, PIXELS[0])
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_is_refused_by_shard_and_record_and_the_others_are_read(path: Path) -> None:
    shard = Shard.open(path, SIZE_PX)
    flip(path, shard.offset + 5 * SIZE_PX * SIZE_PX * 3 + 100)
    with pytest.raises(ArtifactCorrupt, match=r"record 5 of .*shard-00000.*CRC-32") as caught:
        read(shard, 4, 5)
    assert caught.value.key == str(path)
    np.testing.assert_array_equal(read(shard, 4, 6), PIXELS[[4, 6]])
    with pytest.raises(ArtifactCorrupt, match="record 5"):
        shard.verify()


def test_a_flipped_bit_in_a_checksum_is_refused(path: Path) -> None:
    flip(path, -1)
    with pytest.raises(ArtifactCorrupt, match="record 11"):
        Shard.open(path, SIZE_PX).verify()


@pytest.mark.parametrize("kept", [0, 5, 60, 128, 5_000, -49, -1])
def test_a_shard_cut_short_is_refused(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ManifestError, match=r"shard-00000.*prepare the dataset again"):
        Shard.open(path, SIZE_PX)


def test_a_shard_cut_short_after_it_was_opened_is_refused_and_ends_no_process(path: Path) -> None:
    shard = Shard.open(path, SIZE_PX)
    with path.open("r+b") as stream:
        stream.truncate(shard.offset + 3 * SIZE_PX * SIZE_PX * 3 + 10)
    np.testing.assert_array_equal(read(shard, 2), PIXELS[[2]])
    with pytest.raises(ManifestError, match="ends within a record"):
        read(shard, 3)
    path.unlink()
    with pytest.raises(ManifestError, match="No such file"):
        read(shard, 2)


@pytest.mark.parametrize(
    "alien",
    [PIXELS.astype(np.float32), PIXELS[..., 0], PIXELS[:, :8], np.asfortranarray(PIXELS), PIXELS],
    ids=["floats", "grey", "another-shape", "another-order", "no-checksums"],
)
def test_another_array_is_refused(tmp_path: Path, alien: np.ndarray) -> None:
    np.save(tmp_path / "alien.npy", alien)
    with pytest.raises(ManifestError, match="alien"):
        Shard.open(tmp_path / "alien.npy", SIZE_PX)


def test_another_file_or_a_tail_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(ManifestError, match="nothing more"):
        Shard.open(path, SIZE_PX)
    path.write_text("not an array")
    with pytest.raises(ManifestError, match="a whole shard"):
        Shard.open(path, SIZE_PX)


@pytest.mark.parametrize("row", [-1, 12])
def test_a_row_that_is_not_there_is_refused(path: Path, row: int) -> None:
    with pytest.raises(ManifestError, match=f"a row below 12.*row {row}"):
        read(Shard.open(path, SIZE_PX), row)
