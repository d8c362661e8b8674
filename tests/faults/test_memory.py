"""What a hostile file may cost in memory, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.pictures import bomb, encoded, picture, text_bomb, whole_bomb

MEASURE = """
import pathlib, sys
from lesion_core.errors import ImageRejected
from lesion_core.images import decode

def peak_kb():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

for name in sys.argv[1:]:
    body, before, told = pathlib.Path(name).read_bytes(), peak_kb(), "used"
    try:
        decode(body, image_id=name)
    except ImageRejected:
        told = "refused"
    print(told, peak_kb() - before)
"""
MOST_MB = 16


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's peak of memory on Linux alone")
def test_a_bomb_costs_no_more_than_any_picture(tmp_path: Path) -> None:
    files = {
        "any picture, for what the first one costs": encoded(picture()),
        "900 million pixels": bomb(30_000),
        "81 million pixels that are all there": whole_bomb(9_000),
        "a comment of 64 MB": text_bomb(b"zTXt"),
        "a profile of 64 MB": text_bomb(b"iCCP"),
        "what a sound picture of 36 MB costs, for comparison": encoded(picture((4000, 3000))),
    }
    paths = [tmp_path / f"{number}.png" for number in range(len(files))]
    for path, body in zip(paths, files.values(), strict=True):
        path.write_bytes(body)
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, *map(str, paths)]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.split(
        "\n"
    )
    told = [(words, int(kilobytes) / 1024) for words, kilobytes in (line.split() for line in lines if line)]
    assert [words for words, _ in told] == ["used", "refused", "refused", "refused", "refused", "used"]
    assert [grown_mb for words, grown_mb in told if words == "refused" and grown_mb > MOST_MB] == []
    assert told[-1][1] > MOST_MB, "the measure sees nothing"
