"""The audit finds what was planted, and nothing where there is nothing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.proof import shortcuts
from lesion_core.dataset.proof.certificate import CERTIFICATE_NAME, Shortcut, read_certificate
from lesion_core.dataset.proof.leakage import NO_FOLD, QUARANTINED
from lesion_core.dataset.proof.shortcuts import (
    ALL,
    ASPECT,
    BORDER,
    CONFIRMATION,
    FEATURES,
    LENGTH,
    MISSING,
    SIZE,
    SOURCE,
    audit_shortcuts,
    border_colours,
)
from lesion_core.dataset.records import OpenDataset, shard_name

N = 400


def tables() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Images in groups of two whose class nothing tells."""
    rng = np.random.default_rng(3)
    manifest = pd.DataFrame({"width": rng.integers(90, 110, N), "height": rng.integers(60, 80, N)})
    manifest = manifest.assign(n_bytes=rng.integers(1000, 2000, N), source=rng.choice(["a", "b"], N))
    manifest = manifest.assign(age_years=np.where(rng.random(N) < 0.3, np.nan, 50.0), sex="male", site=None)
    manifest["confirm_type"] = rng.choice(["histopathology", None], N)
    pair = np.arange(N) // 2
    splits = pd.DataFrame({"split": "train", "fold": pair % 5, "group": [f"g{number:03d}" for number in pair]})
    splits["class_index"] = rng.integers(0, 4, N // 2)[pair]
    return manifest, splits, rng.uniform(0, 255, (N, 3)).astype(np.float32)


def audited(manifest: pd.DataFrame, splits: pd.DataFrame, borders: np.ndarray) -> dict[str, Shortcut]:
    return {found.features: found for found in audit_shortcuts(manifest, splits, borders, seed=7, n_shuffles=5)}


def test_where_nothing_tells_the_class_nothing_is_found() -> None:
    for found in audited(*tables()).values():
        assert found.chance == 0.25
        assert found.n_images == N
        assert abs(found.shuffled_mean - found.chance) < 0.06
        assert found.balanced_accuracy < 0.35


def test_what_is_seen_tells_if_it_beats_every_shuffle_and_a_guess() -> None:
    found = audited(*tables())[SOURCE].model_copy(update={"balanced_accuracy": 0.31, "shuffled_mean": 0.25})
    assert found.model_copy(update={"shuffled_best": 0.30}).is_telling
    assert not found.model_copy(update={"shuffled_best": 0.31}).is_telling  # above chance, as a shuffle is
    assert not found.model_copy(update={"shuffled_best": 0.20, "balanced_accuracy": 0.25}).is_telling


@pytest.mark.parametrize("features", [name for name in FEATURES if name != ALL])
def test_a_planted_shortcut_is_found_where_it_is(features: str) -> None:
    manifest, splits, borders = tables()
    classes = splits["class_index"].to_numpy()
    if features == BORDER:
        borders[:, 1] = 40 * classes
    elif features == SOURCE:
        manifest["source"] = [f"clinic {number}" for number in classes]
    elif features == CONFIRMATION:
        manifest["confirm_type"] = np.array(["a", "b", "c", None], object)[classes]  # unknown is a value as well
    elif features == MISSING:
        manifest["sex"], manifest["site"] = (np.where(classes & bit, "known", None) for bit in (1, 2))
    elif features == ASPECT:
        manifest["width"] = (manifest["height"] * (1 + classes / 4)).astype(int)
    else:
        manifest[{SIZE: "width", LENGTH: "n_bytes"}[features]] = 1000 + 100 * classes
    found = audited(manifest, splits, borders)
    assert found[features].balanced_accuracy > 0.9 > found[features].shuffled_best
    assert found[features].is_telling
    assert found[ALL].balanced_accuracy > 0.9


def test_of_what_may_be_missing_only_that_it_is_missing_is_seen() -> None:
    manifest, splits, borders = tables()
    manifest["age_years"] = np.where(manifest["age_years"].isna(), np.nan, 10.0 * splits["class_index"])
    assert not audited(manifest, splits, borders)[MISSING].is_telling


def test_what_is_left_out_of_the_dataset_is_left_out_of_the_audit() -> None:
    manifest, splits, borders = tables()
    splits.loc[:9, "split"] = QUARANTINED
    splits.loc[10:19, "fold"] = NO_FOLD
    assert audited(manifest, splits, borders)[SOURCE].n_images == N - 20


def test_of_a_large_dataset_whole_groups_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "MAX_IMAGES", 101)
    assert audited(*tables())[SOURCE].n_images == 100


def test_the_border_is_the_outer_frame_in_the_order_of_the_rows(tmp_path: Path) -> None:
    pixels = np.zeros((3, 40, 40, 3), np.uint8)
    pixels[:, 2:-2, 2:-2] = 255  # the inside does not count
    pixels[1, :2], pixels[1, -2:], pixels[1, :, :2], pixels[1, :, -2:] = [[10, 20, 30]] * 4
    pixels[2, :2] = 200
    for number in (0, 1):
        path = tmp_path / shard_name(number)
        path.parent.mkdir(exist_ok=True)
        np.save(path, pixels if number else pixels[:1])
    rows = pd.DataFrame({"shard": [1, 0, 1], "row": [1, 0, 2]})
    colours = border_colours(tmp_path, rows)
    np.testing.assert_allclose(colours[:2], [[10, 20, 30], [0, 0, 0]])
    np.testing.assert_allclose(colours[2], 200 * 80 / (4 * 2 * 38), rtol=1e-6)


def test_the_certificate_has_the_audit(dataset: OpenDataset) -> None:
    found = read_certificate(dataset.folder).shortcuts
    assert [item.features for item in found] == list(FEATURES)
    assert all(item.n_shuffles == shortcuts.N_SHUFFLES for item in found)


def test_a_certificate_without_an_audit_is_read(dataset: OpenDataset, tmp_path: Path) -> None:
    content = json.loads((dataset.folder / CERTIFICATE_NAME).read_text(encoding="utf-8"))
    del content["shortcuts"]
    (tmp_path / CERTIFICATE_NAME).write_text(json.dumps(content), encoding="utf-8")
    assert read_certificate(tmp_path).shortcuts == ()
