"""The figures of where a model fails: every state of a row is drawn, and the same each time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesion_core import figures
from lesion_core.figures import ChangeRow, ForestRow, Subject
from lesion_core.statistics.estimates import Estimate

SURE = Estimate(value=0.6, low=0.4, high=0.8, method="group bootstrap")
FEW = Estimate(value=0.7, low=0.3, high=0.9, method="Wilson")
WORSE = Estimate(value=-0.2, low=-0.3, high=-0.1, method="group bootstrap")
UNKNOWN = Estimate(value=None)
SUBGROUPS = [
    ForestRow("sex", "female", 300, 200, (SURE, FEW), (True, False)),
    ForestRow("sex", "male", 20, 12, (), (False, False)),
    ForestRow(
        "source", "$\\frac{1}{2$ a department of a very long name " * 4, 100, 90, (SURE, UNKNOWN), (False, False)
    ),
]
PANELS = [("malignant sensitivity", SURE), ("balanced accuracy", UNKNOWN)]
CHANGES = [
    ChangeRow("blur", "sigma 1", FEW, SURE, WORSE),
    ChangeRow("blur", "sigma 2", SURE, UNKNOWN, Estimate(value=0.0, low=0.0, high=0.0, method="group bootstrap")),
    ChangeRow("mirror", "left and right", SURE, FEW, UNKNOWN),
]
DRAWINGS = {
    "subgroups": lambda path, subject: figures.draw_subgroups(SUBGROUPS, PANELS, path, subject),
    "no subgroups": lambda path, subject: figures.draw_subgroups([], PANELS, path, subject),
    "stress": lambda path, subject: figures.draw_stress(CHANGES, path, subject),
    "no stress": lambda path, subject: figures.draw_stress([], path, subject),
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_figure_is_an_image_and_the_same_each_time(draw, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    subject = Subject("a model on 120 test images", synthetic=False)
    first, second = draw(tmp_path / "a.png", subject), draw(tmp_path / "b.png", subject)
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("L")))) > 10


def _colours(path: Path) -> set[tuple[int, ...]]:
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return {tuple(one) for one in np.unique(pixels, axis=0).tolist()}


def test_only_a_gap_is_brown(tmp_path: Path) -> None:
    brown, subject = (0x9C, 0x4A, 0x00), Subject("a model", synthetic=False)
    alike = [ForestRow("sex", "female", 300, 200, (SURE, FEW), (False, False))]
    assert brown in _colours(figures.draw_subgroups(SUBGROUPS, PANELS, tmp_path / "a.png", subject))
    assert brown not in _colours(figures.draw_subgroups(alike, PANELS, tmp_path / "b.png", subject))
