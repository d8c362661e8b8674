"""Small archive folders for the tests: real JPEG files and a table, as the downloader leaves them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

NEVUS = {
    "diagnosis_1": "Benign",
    "diagnosis_2": "Benign melanocytic proliferations",
    "diagnosis_3": "Nevus",
}
MELANOMA = {
    "diagnosis_1": "Malignant",
    "diagnosis_2": "Malignant melanocytic proliferations (Melanoma)",
    "diagnosis_3": "Melanoma, NOS",
}
VASCULAR = {"diagnosis_1": "Benign", "diagnosis_2": "Benign soft tissue proliferations - Vascular"}


def isic_id(number: int) -> str:
    """Return the ``number``-th id."""
    return f"ISIC_{number:07d}"


def row(number: int, **cells: str) -> dict[str, str]:
    """Return a table row of a nevus, with ``cells`` changed."""
    usual = {"attribution": "Clinic A", "copyright_license": "CC-0", "image_type": "dermoscopic", **NEVUS}
    return {"isic_id": isic_id(number), **usual, **cells}


def jpeg(seed: int, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """Return a small JPEG whose pixels depend on ``seed``."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **options)
    return stream.getvalue()


def write_table(folder: Path, rows: Sequence[Mapping[str, str]], encoding: str = "utf-8") -> None:
    """Write ``metadata.csv``."""
    columns = list(dict.fromkeys(name for each in rows for name in each))
    with (folder / "metadata.csv").open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_folder(folder: Path, rows: Sequence[Mapping[str, str]], without: Iterable[str] = ()) -> Path:
    """Write table and images; rows named in ``without`` get no file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder, rows)
    for index, each in enumerate(rows):
        if each["isic_id"] not in without:
            (folder / f"{each['isic_id']}.jpg").write_bytes(jpeg(index))
    return folder
