"""A synthetic archive on disk, laid out as the official downloader leaves a folder."""

import csv
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lesion_core.archive_fields import IMAGE_ID
from lesion_core.errors import ConfigError
from lesion_core.synthetic.camera import Camera, photograph
from lesion_core.synthetic.cohort import Lesion, draw_cohort
from lesion_core.synthetic.faults import plant_faults
from lesion_core.synthetic.lesions import draw_lesion
from lesion_core.synthetic.vocabulary import COLUMNS, Row, describe_lesion

FIRST_ID = 9_000_000  # far above any number the archive has given out
FEWEST_IMAGES = 60  # below that there are too few nevi to spoil
_CAMERAS: tuple[Camera, ...] = (  # one for each clinic in vocabulary.CLINICS
    Camera(cast=(1.00, 1.00, 1.00), dark_rim=0.25, ruler=0.05, jpeg_quality=90),
    Camera(cast=(1.05, 0.98, 0.98), dark_rim=0.08, ruler=0.12, jpeg_quality=92),
    Camera(cast=(0.97, 1.00, 1.05), dark_rim=0.15, ruler=0.03, jpeg_quality=86),
)


def write_archive(folder: Path, *, n_images: int = 400, seed: int = 7) -> None:
    """Write ``ISIC_#######.jpg`` files and ``metadata.csv`` into a new folder.

    The images are 256×192 JPEGs, the rows say ``image_manipulation: synthetic``. Among them are the
    faults of ``faults.plant_faults``, so one row has no image. Equal arguments give equal bytes. The
    folder appears whole or not at all.

    Args:
        folder: Where to; must not exist or be empty.
        n_images: Rows in ``metadata.csv``.
        seed: Decides everything.

    Raises:
        ConfigError: ``n_images`` is below 60, or the folder holds something.
    """
    if n_images < FEWEST_IMAGES:
        raise ConfigError(f"expected at least {FEWEST_IMAGES} synthetic images, got {n_images}; ask for more")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"expected {folder} to be new or empty, but it holds files; remove it or name another folder"
        )
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _fill(partial, n_images, seed)
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)


def _fill(folder: Path, n_images: int, seed: int) -> None:
    """Write images, faults and table."""
    lesions = draw_cohort(np.random.default_rng([seed, 0]), n_images)
    order = np.random.default_rng([seed, 1]).permutation(n_images)  # ids must not give a lesion away
    rows, n_views = [], {}
    for number, (lesion, row, content) in zip(order, _images(lesions, seed), strict=True):
        row[IMAGE_ID] = f"ISIC_{FIRST_ID + int(number)}"
        n_views[row[IMAGE_ID]] = lesion.n_images
        (folder / f"{row[IMAGE_ID]}.jpg").write_bytes(content)
        rows.append(row)
    rows.sort(key=lambda row: row[IMAGE_ID])
    plant_faults(folder, rows, n_views, np.random.default_rng([seed, 2]))
    _write_table(folder / "metadata.csv", rows)


def _images(lesions: Sequence[Lesion], seed: int) -> Iterator[tuple[Lesion, Row, bytes]]:
    """Yield every image with its metadata; each lesion has its own stream of random numbers."""
    for lesion in lesions:
        rng = np.random.default_rng([seed, 3, lesion.number])
        row = describe_lesion(lesion, rng)
        art = draw_lesion(lesion.diagnosis, rng)
        for _ in range(lesion.n_images):
            yield lesion, dict(row), photograph(art, lesion.patient.tone, _CAMERAS[lesion.patient.clinic], rng)


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
