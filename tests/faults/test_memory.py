"""What a hostile file may cost in memory, measured in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.pictures import bomb, encoded, picture, text_bomb

MEASURE = """
import pathlib, resource, sys
from lesion_core.errors import ImageRejected
from lesion_core.images import decode
small, large = (pathlib.Path(name).read_bytes() for name in sys.argv[1:])
decode(small, image_id="small")  # what any picture costs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(large, image_id="large")
except ImageRejected as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error.reason)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, "used")
"""
MOST_MB = 24


def _growth_mb(tmp_path: Path, body: bytes) -> tuple[float, str]:
    """Decode a file in a new process; return by how much its peak of memory grew, and what was said."""
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    small.write_bytes(encoded(picture()))
    large.write_bytes(body)
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, str(small), str(large)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    kilobytes, words = told.strip().split(" ", 1)
    return int(kilobytes) / 1024, words


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
@pytest.mark.parametrize(
    "make",
    [lambda: bomb(30_000), lambda: bomb(9_000), lambda: text_bomb(b"zTXt"), lambda: text_bomb(b"iCCP")],
    ids=["900 million pixels", "81 million pixels", "a comment of 64 MB", "a profile of 64 MB"],
)
def test_a_bomb_costs_no_more_than_any_picture(make: Callable[[], bytes], tmp_path: Path) -> None:
    grown_mb, words = _growth_mb(tmp_path, make())
    assert words != "used"
    assert grown_mb < MOST_MB


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_the_measure_sees_a_picture_that_is_decoded(tmp_path: Path) -> None:
    grown_mb, words = _growth_mb(tmp_path, encoded(picture((4000, 3000))))
    assert words == "used"
    assert grown_mb > MOST_MB
