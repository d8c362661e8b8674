"""Image every augmentation on generated lesions: ``python docs/make_contact_sheets.py``.

The sheets come from the code that writes the one of every trained model, so they show what training does.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.dataset.encoding import ShardWriter
from lesion_core.dataset.records import OpenDataset, shard_name
from lesion_core.images import Preprocessing, preprocess
from lesion_core.labels import CLASS_ORDER
from lesion_core.modeling.feed.contact_sheet import write_contact_sheet
from lesion_core.modeling.feed.input import TrainingFeed
from lesion_core.recipes.recipe import Recipe
from lesion_core.recipes.sections import Augmentation
from lesion_core.refs import DatasetRef
from lesion_core.synthetic.camera import Camera, photograph
from lesion_core.synthetic.lesions import draw_lesion
from lesion_core.synthetic.skin import draw_tone

FOLDER = Path(__file__).parent / "images"
SIDE = 64
# What the generator itself adds is left out as far as it can be, so that what is seen is the augmentation's.
CAMERA = Camera(cast=(1.0, 1.0, 1.0), dark_rim=0.0, ruler=0.0, jpeg_quality=95)
SHEETS = {
    "augmentation-default": Augmentation(),
    "augmentation-overlays": Augmentation(hairs=0.4, ink=0.4, rulers=0.4, dark_corners=0.4, cutout=0.3),
    "augmentation-mixing": Augmentation(mixup=0.4, cutmix=1.0),
}


def generated(folder: Path) -> OpenDataset:
    """Record one generated lesion of each class in ``folder``."""
    writer = ShardWriter(folder / shard_name(0), len(CLASS_ORDER), SIDE)
    for place, diagnosis in enumerate(CLASS_ORDER):
        rng = np.random.default_rng((7, place))
        image = photograph(draw_lesion(diagnosis, rng), draw_tone(rng), CAMERA, rng)
        writer.put(place, preprocess(image, Preprocessing(size_px=SIDE), image_id=str(diagnosis)))
    writer.finish()
    place = np.arange(len(CLASS_ORDER))
    rows = pd.DataFrame({"class_index": place, "shard": 0, "row": place, "split": "train"})
    ref = DatasetRef(
        id="generated/0", key="datasets/generated/0", sha256="0" * 64, n_images=len(rows), n_groups=len(rows),
        size_px=SIDE, licence="CC-0", synthetic=True,
    )  # fmt: skip
    return OpenDataset(ref=ref, folder=folder, rows=rows)


def main() -> None:
    """Write every sheet."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        dataset = generated(Path(folder))
        for name, augmentation in SHEETS.items():
            recipe = Recipe(name=name, size_px=SIDE, backbone="tiny", weights="none", augmentation=augmentation)
            write_contact_sheet(TrainingFeed(dataset, dataset.rows, recipe), FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
