"""The files of the ISIC 2019 challenge: the ground truth that its organisers publish, and what is submitted to it.

::

    ISIC_2019_Training_GroundTruth.csv      image, and a 1 under one of MEL … SCC, UNK; with it may come score_weight
    submission.csv                          image, MEL … SCC, UNK: probabilities from 0 to 1

https://challenge.isic-archive.com/landing/2019/. Images are told apart by their ids: ``_downsampled`` and ``.jpg``
after an id are left away, in both files.
"""

import csv
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.errors import ConfigError, ManifestError
from lesion_core.isic.mirror.challenge import NONE_OF_THEM, class_of, isic_id_of
from lesion_core.isic.mirror.tables import Row, Table, check_ids, read_table
from lesion_core.labels import CHALLENGE_CLASSES

UNKNOWN = NONE_OF_THEM
EIGHT: tuple[str, ...] = tuple(str(name) for name in CHALLENGE_CLASSES)
NINE: tuple[str, ...] = (*EIGHT, UNKNOWN)
_WEIGHT = "score_weight"
# The organisers' program counts it as nothing, whatever the file says.
_NOT_SCORED = "ISIC_0035068"
_TRUTH_ADVICE = "take the table as the organisers publish it"
_SUBMISSION_ADVICE = "`lesion challenge export` writes such a file"
_JPG = re.compile(r"\.jpg$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """A ground truth, n images in the order of the file.

    Attributes:
        path: Its file.
        names: Of the images by id, as the file writes them: {'ISIC_0000017': 'ISIC_0000017_downsampled'}.
        truth: Position of each image's class in ``NINE``, int64 (n,).
        weights: What each image counts in the score, float64 (n,).
        has_unknown: Whether there is a column UNK.
    """

    path: Path
    names: Mapping[str, str]
    truth: np.ndarray
    weights: np.ndarray
    has_unknown: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission, n images in the order of the file.

    Attributes:
        path: Its file.
        ids: Of the images.
        probs: float64 (n, 9), columns as ``NINE``; UNK is 0 where the file has no such column.
        has_unknown: Whether there is a column UNK.
    """

    path: Path
    ids: tuple[str, ...]
    probs: np.ndarray
    has_unknown: bool


def read_ground_truth(path: Path) -> GroundTruth:
    """Return an official ground truth; columns besides the classes and ``score_weight`` are passed over.

    Raises:
        ConfigError: The file cannot be read.
        ManifestError: Columns are missing, an image comes twice, or a row does not name one class.
    """
    table = _read(path, ("image", *EIGHT), _TRUTH_ADVICE)
    ids = _ids(table)
    truth = [NINE.index(class_of(path, row)) for row in table.rows]
    weighted = _WEIGHT in table.header
    weights = [_number(table, row, _WEIGHT, float("inf")) if weighted else 1.0 for row in table.rows]
    return GroundTruth(
        path=path,
        names={isic_id: row.cells["image"] for isic_id, row in zip(ids, table.rows, strict=True)},
        truth=np.array(truth, np.int64),
        weights=np.array(weights, np.float64) * (np.array(ids) != _NOT_SCORED),
        has_unknown=UNKNOWN in table.header,
    )


def read_submission(path: Path) -> Submission:
    """Return a submission.

    Raises:
        ConfigError: The file cannot be read.
        ManifestError: Columns are missing or not of the challenge, an image comes twice, or a cell is no number from
            0 to 1.
    """
    table = _read(path, ("image", *EIGHT), _SUBMISSION_ADVICE)
    if others := [name for name in table.header if name not in ("image", *NINE)]:
        raise ManifestError(
            f"expected no columns in {path} but image, {', '.join(NINE)}, got {', '.join(others)}; remove "
            f"{'it' if len(others) == 1 else 'them'}, since the organisers' program refuses such a file"
        )
    has_unknown = UNKNOWN in table.header
    probs = np.zeros((len(table.rows), len(NINE)))
    for place, name in enumerate(NINE if has_unknown else EIGHT):
        probs[:, place] = [_number(table, row, name, 1.0) for row in table.rows]
    return Submission(path, tuple(_ids(table)), probs, has_unknown)


def read_unknown(path: Path) -> dict[str, float]:
    """Return the probability of UNK by image id, from a table with the columns image and UNK.

    Raises:
        ConfigError: The file cannot be read.
        ManifestError: A column is missing, an image comes twice, or a cell is no number from 0 to 1.
    """
    table = _read(
        path, ("image", UNKNOWN), "name the images, and how probable it is that each is none of the classes"
    )
    numbers = [_number(table, row, UNKNOWN, 1.0) for row in table.rows]
    return dict(zip(_ids(table), numbers, strict=True))


def write_submission(table: pd.DataFrame, path: Path) -> None:
    """Write a submission with the columns image and ``NINE``; a file is whole or as it was.

    Numbers have as many digits as tell one float32 from the next.

    Raises:
        ConfigError: It cannot be written.
    """
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    probs = table[list(NINE)].to_numpy(np.float32)
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("image", *NINE))
            writer.writerows((name, *map(str, row)) for name, row in zip(table["image"], probs, strict=True))
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or 0)
        raise ConfigError(f"expected to write {path}, got: {reason}; choose another place") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _read(path: Path, columns: Sequence[str], advice: str) -> Table:
    try:
        table = read_table(path, columns=columns, advice=advice)
    except OSError as error:
        raise ConfigError(f"expected a table at {path}, got: {error.strerror}; check the name of the file") from error
    if not table.rows:
        raise ManifestError(f"expected a row per image in {path}, got the header alone; {advice}")
    return table


def _ids(table: Table) -> list[str]:
    ids = [isic_id_of(_JPG.sub("", row.cells.get("image", ""))) for row in table.rows]
    check_ids(table.path, ids)
    return ids


def _number(table: Table, row: Row, column: str, highest: float) -> float:
    text = row.cells.get(column, "")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (0 <= value <= highest and value < float("inf")):
        limits = "from 0 to 1" if highest == 1.0 else "of 0 or more"
        raise ManifestError(
            f"expected a number {limits} under {column} in row {row.number} of {table.path} "
            f"({row.cells.get('image')}), got {text!r}; correct the cell"
        )
    return value
