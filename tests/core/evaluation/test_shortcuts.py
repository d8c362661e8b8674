"""What tells the class without a look at the lesion: planted shortcuts are found, and none is made up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.records import OpenDataset
from lesion_core.evaluation.shortcuts import CONFIRMATION, IMAGE_SIZE, MISSING, SOURCE, Shortcut, find_shortcuts
from lesion_core.labels import CLASS_ORDER
from lesion_core.types import DatasetRef

N = 400
REF = DatasetRef(
    id="x/1", key="datasets/x/1", sha256="0" * 64, n_images=N, n_groups=N, size_px=32, licence="CC-0", synthetic=False
)


def world(seed: int = 1) -> tuple[OpenDataset, pd.DataFrame]:
    """Four classes in three splits, and facts that have nothing to do with them."""
    random = np.random.default_rng(seed)
    ids = [f"ISIC_{number:07d}" for number in range(N)]
    classes = random.integers(0, 4, N)
    splits = random.choice(["train", "validation", "calibration", "test"], N, p=[0.5, 0.2, 0.2, 0.1])
    rows = pd.DataFrame({"isic_id": ids, "group": ids, "split": splits, "class_index": classes})
    manifest = pd.DataFrame(
        {
            "isic_id": ids,
            "width": random.choice([600, 1024], N),
            "height": 450,
            "attribution": random.choice(["A", "B"], N),
            "confirm_type": random.choice(["histopathology", None], N),
            "age_years": np.where(random.random(N) < 0.1, np.nan, 50.0),
            "sex": "male",
            "site": None,
        }
    )
    return OpenDataset(REF, Path(), rows), manifest


def found(dataset: OpenDataset, manifest: pd.DataFrame) -> dict[str, Shortcut]:
    return {one.fact: one for one in find_shortcuts(dataset, manifest, seed=7)}


def test_where_there_is_no_shortcut_none_is_found() -> None:
    shortcuts = found(*world())
    assert set(shortcuts) == {IMAGE_SIZE, SOURCE, MISSING, CONFIRMATION}
    assert {one.chance for one in shortcuts.values()} == {0.25}
    assert not any(one.is_telling for one in shortcuts.values())


@pytest.mark.parametrize(
    ("fact", "column", "values"),
    [
        (IMAGE_SIZE, "width", [600, 700, 800, 900]),
        (SOURCE, "attribution", ["A", "B", "C", "D"]),
        (CONFIRMATION, "confirm_type", ["a", "b", "c", None]),
    ],
)
def test_a_planted_shortcut_is_found_and_no_other(fact: str, column: str, values: list[object]) -> None:
    dataset, manifest = world()
    manifest[column] = [values[place] for place in dataset.rows["class_index"]]
    shortcuts = found(dataset, manifest)
    assert shortcuts[fact].balanced_accuracy.value == 1.0
    assert [one.fact for one in shortcuts.values() if one.is_telling] == [fact]


def test_values_that_are_missing_with_the_class_are_a_shortcut() -> None:
    dataset, manifest = world()
    manifest["age_years"] = np.where(dataset.rows["class_index"] == 0, np.nan, 50.0)
    missing = found(dataset, manifest)[MISSING]
    assert missing.is_telling
    assert missing.balanced_accuracy.value == pytest.approx(0.5)  # one class for sure, one of three by luck


def test_the_test_split_is_not_used() -> None:
    dataset, manifest = world()
    before = found(dataset, manifest)
    of_test = dataset.rows["split"] == "test"
    changed = dataset.rows.assign(class_index=dataset.rows["class_index"].mask(of_test, 7))
    assert found(replace(dataset, rows=changed), manifest.assign(width=manifest["width"].mask(of_test, 1))) == before


def test_the_order_of_rows_does_not_matter() -> None:
    dataset, manifest = world()
    assert found(dataset, manifest.sample(frac=1, random_state=3)) == found(dataset, manifest)


def test_a_size_that_was_never_seen_tells_nothing() -> None:
    dataset, manifest = world()
    shortcut = found(dataset, manifest.assign(width=np.arange(N)))[IMAGE_SIZE]
    assert shortcut.balanced_accuracy.value == pytest.approx(shortcut.chance)
    assert not shortcut.is_telling


def test_too_little_to_score_on_gives_nothing() -> None:
    dataset, manifest = world()
    for column, value in (("split", "train"), ("class_index", CLASS_ORDER.index("NV"))):  # type: ignore[arg-type]
        assert find_shortcuts(replace(dataset, rows=dataset.rows.assign(**{column: value})), manifest, seed=7) == ()
