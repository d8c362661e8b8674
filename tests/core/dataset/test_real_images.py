"""Near-duplicates on real dermoscopic images: what is found, and what is not."""

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lesion_core.dataset.splitting.duplicates import THUMBNAIL_PX, find_near_duplicates, thumbnail_of
from lesion_core.images import Preprocessing, preprocess

# One photograph each, by eye, though their lesion ids differ or are missing.
SAME_PHOTOGRAPH = {
    ("ISIC_0000171", "ISIC_0015124"),  # other white balance
    ("ISIC_0000201", "ISIC_0015023"),  # other white balance
    ("ISIC_0000222", "ISIC_0014846"),  # other white balance
    ("ISIC_0012127", "ISIC_0012970"),
    ("ISIC_0012222", "ISIC_0016003"),
    ("ISIC_0012290", "ISIC_0013594"),
    ("ISIC_0012672", "ISIC_0012673"),
    ("ISIC_0012887", "ISIC_0012989"),
    ("ISIC_0013109", "ISIC_0013163"),
    ("ISIC_0015986", "ISIC_0015987"),
    ("ISIC_0025226", "ISIC_0030074"),  # other white balance
}
# Alike over the whole frame (above 0.98) only by the microscope's vignette.
SAME_VIGNETTE = ("ISIC_0032882", "ISIC_0033076", "ISIC_0033262", "ISIC_0033311", "ISIC_0033439", "ISIC_0033922")


@pytest.mark.slow
def test_known_pairs_are_found_and_no_different_diagnoses_are_joined(isic_folder: Path) -> None:
    with (isic_folder / "archive" / "metadata.csv").open(encoding="utf-8") as stream:
        rows = {row["isic_id"]: row for row in csv.DictReader(stream)}
    first = sorted(rows)[:2745]  # the collection with most of them
    ids = sorted({*first, *(isic_id for pair in SAME_PHOTOGRAPH for isic_id in pair), *SAME_VIGNETTE})
    scale = Preprocessing(size_px=THUMBNAIL_PX)

    def thumbnail(isic_id: str) -> np.ndarray:
        data = (isic_folder / "archive" / f"{isic_id}.jpg").read_bytes()
        return thumbnail_of(preprocess(data, scale, image_id=isic_id))

    with ThreadPoolExecutor() as pool:
        found = find_near_duplicates(np.stack(list(pool.map(thumbnail, ids))))
    pairs = {(ids[one], ids[other]) for one, other in zip(found["first"], found["second"], strict=True)}
    assert pairs >= SAME_PHOTOGRAPH
    assert not [pair for pair in pairs if set(pair) & set(SAME_VIGNETTE)]
    assert all(rows[one]["diagnosis_3"] == rows[other]["diagnosis_3"] for one, other in pairs)
    assert len(pairs) < 40
