"""What is wrong in every real archive, planted on purpose and on known rows.

The steps after it must refuse, report or group each of these; the demo's report shows that they did.
"""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from lesion_core import archive_fields
from lesion_core.synthetic.vocabulary import Row

N_FAULTY_ROWS = 6
# A real entry of the archive's taxonomy that is none of the classes.
UNMAPPABLE = ("Indeterminate", "Indeterminate melanocytic proliferations", "Atypical melanocytic neoplasm")
UNKNOWN_SITE = "Left thigh, see letter"


def plant_faults(folder: Path, rows: list[Row], n_views: Mapping[str, int], rng: np.random.Generator) -> None:
    """Spoil six rows of an archive in place; row and file names stay as they were.

    Args:
        folder: The archive's images.
        rows: The metadata; changed in place.
        n_views: Images of the same lesion, by isic_id: only nevi seen once are spoilt.
        rng: Chooses the rows.

    The faults, in the order in which rows are drawn: a truncated JPEG; a row without an image (the
    archive's 404); a diagnosis that is none of the classes; a site nobody has heard of; a near-duplicate of
    another lesion's image; and the very bytes of one.
    """
    nevi = [
        row
        for row in rows
        if row[archive_fields.DIAGNOSIS[2]] == "Nevus" and n_views[row[archive_fields.IMAGE_ID]] == 1
    ]
    drawn = rng.choice(len(nevi), N_FAULTY_ROWS + 2, replace=False)
    truncated, missing, unmappable, lost, near, twin, near_of, twin_of = (nevi[int(index)] for index in drawn)
    _truncate(_image(folder, truncated))
    _image(folder, missing).unlink()
    unmappable.update(zip(archive_fields.DIAGNOSIS[:3], UNMAPPABLE, strict=True))
    lost.update({archive_fields.SITE[0]: UNKNOWN_SITE, archive_fields.SITE[1]: "", archive_fields.SITE_SPECIAL: ""})
    _photograph_again(_image(folder, near_of), _image(folder, near))
    shutil.copyfile(_image(folder, twin_of), _image(folder, twin))
    for number, row in enumerate((near, near_of, twin, twin_of)):  # four lesions, as far as the ids tell
        row[archive_fields.LESION], row[archive_fields.PATIENT] = f"IL_{9_900_000 + number}", ""


def _image(folder: Path, row: Row) -> Path:
    return folder / f"{row[archive_fields.IMAGE_ID]}.jpg"


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])


def _photograph_again(source: Path, target: Path) -> None:
    """Write the same image a little brighter, cropped by a pixel, and compressed harder."""
    pixels = np.asarray(Image.open(io.BytesIO(source.read_bytes())).convert("RGB"), np.float32)
    image = Image.fromarray(np.clip(pixels * 1.02 + 1, 0, 255).astype(np.uint8))
    width, height = image.size
    cropped = image.crop((1, 1, width, height)).resize((width, height), Image.Resampling.BICUBIC)
    cropped.save(target, format="JPEG", quality=80)
