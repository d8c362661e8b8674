"""What a hostile file may cost in memory, measured in a process of its own."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.faults.files import png, tiff
from tests.faults.images import bomb, encoded, sample_image, text_bomb, whole_bomb

MEASURE = """
import pathlib, sys
from lesion_core.errors import ImageRejected
from lesion_core.images import decode

def peak_kb():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

for name in sys.argv[1:]:
    body, before, outcome = pathlib.Path(name).read_bytes(), peak_kb(), "used"
    try:
        decode(body, image_id=name)
    except ImageRejected:
        outcome = "refused"
    print(outcome, peak_kb() - before)
"""
MOST_MB = 16


def linear_bomb(side: int) -> bytes:
    """What ``bomb`` is, with a colour space that would have to be converted."""
    whole, end = bomb(side), len(png.SIGNATURE) + 25
    return whole[:end] + png.chunk(*png.gamma(1.0)) + whole[end:]


def tiff_bomb(side: int, *, reduced: bool = False) -> bytes:
    """A TIFF whose directory promises ``side`` × ``side`` grey pixels, first or behind a small copy."""
    small = tiff.page(np.zeros((32, 48), np.uint16), 0, bits=16)
    huge = tiff.Page({**small.tags, tiff.WIDTH: side, tiff.LENGTH: side, tiff.ROWS: side}, small.strips)
    copy = tiff.Page({**small.tags, tiff.SUB_FILE_TYPE: 1}, small.strips)
    return tiff.tiff(copy, huge) if reduced else tiff.tiff(huge)


def endless_tiff(n: int) -> bytes:
    """A TIFF of ``n`` empty directories, each of which names the next one."""
    links = b"".join(struct.pack("<HI", 0, 8 + 6 * (number + 1)) for number in range(n))
    return b"II*\0" + struct.pack("<I", 8) + links


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's peak of memory on Linux alone")
def test_a_bomb_costs_no_more_than_any_image(tmp_path: Path) -> None:
    files = {
        "any image, for what the first one costs": encoded(sample_image()),
        "900 million pixels": bomb(30_000),
        "81 million pixels that are all there": whole_bomb(9_000),
        "a comment of 64 MB": text_bomb(b"zTXt"),
        "a profile of 64 MB": text_bomb(b"iCCP"),
        "900 million pixels in linear light": linear_bomb(30_000),
        "a TIFF of 900 million pixels, 16 bits, white is zero": tiff_bomb(30_000),
        "900 million pixels behind a reduced copy": tiff_bomb(30_000, reduced=True),
        "100,000 directories": endless_tiff(100_000),
        "what a sound image of 36 MB costs, for comparison": encoded(sample_image((4000, 3000))),
    }
    paths = [tmp_path / f"{number}.png" for number in range(len(files))]
    for path, body in zip(paths, files.values(), strict=True):
        path.write_bytes(body)
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, *map(str, paths)]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.split(
        "\n"
    )
    outcome = [(words, int(kilobytes) / 1024) for words, kilobytes in (line.split() for line in lines if line)]
    assert [words for words, _ in outcome] == ["used", *["refused"] * (len(files) - 2), "used"]
    assert [grown_mb for words, grown_mb in outcome if words == "refused" and grown_mb > MOST_MB] == []
    assert outcome[-1][1] > MOST_MB, "the measure sees nothing"
