"""Which row of a table is about which file of a folder."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from deployments.scoring.files import ImageFile, normal, stem_of
from deployments.scoring.patients import Patient, PatientTable
from lesion_core.errors import ManifestError
from lesion_core.isic.mirror.tables import some


@dataclass(frozen=True, slots=True)
class Matches:
    """Rows by the name of their file, and what has no counterpart.

    Attributes:
        patients: The row of each file that has one.
        rows_without_image: Names in rows whose image is not in the folder.
        images_without_row: Names of files that no row is about.
        n_repeated: Rows that say again what an earlier row of the same image says.
    """

    patients: Mapping[str, Patient]
    rows_without_image: tuple[str, ...]
    images_without_row: tuple[str, ...]
    n_repeated: int


def match_rows(table: PatientTable, images: Sequence[ImageFile]) -> Matches:
    """Find the file of each row: by its name below the folder, else by its name alone, with or without its ending.

    Raises:
        ManifestError: A row fits several files, two rows of one image differ, or no row fits any file.
    """
    spellings = _spellings(images)
    found: dict[str, Patient] = {}
    strangers: list[str] = []
    n_repeated = 0
    for patient in table.patients:
        name = _file_of(table, patient, spellings)
        if name is None:
            strangers.append(patient.image)
        elif (earlier := found.setdefault(name, patient)) is not patient:
            _check_repetition(table, name, earlier, patient)
            n_repeated += 1
    if not found:
        raise ManifestError(
            f"expected rows about the images of the folder in {table.path}, got none: the table names "
            f"{some(strangers)}, the folder has {some([image.name for image in images])}; names must be the same, "
            "with or without the ending"
        )
    without = tuple(image.name for image in images if image.name not in found)
    return Matches(found, tuple(strangers), without, n_repeated)


def _spellings(images: Iterable[ImageFile]) -> list[dict[str, list[ImageFile]]]:
    """Return the files by what a table may call them, the most exact spelling first."""
    ways: list[dict[str, list[ImageFile]]] = [defaultdict(list) for _ in range(4)]
    for image in images:
        whole = normal(image.name)
        alone = PurePosixPath(whole).name
        for way, name in zip(ways, (whole, stem_of(whole), alone, stem_of(alone)), strict=True):
            way[name].append(image)
    return [dict(way) for way in ways]


def _file_of(table: PatientTable, patient: Patient, spellings: Sequence[Mapping[str, list[ImageFile]]]) -> str | None:
    name = normal(patient.image).replace("\\", "/")
    alone = PurePosixPath(name).name
    wanted = (name, name, alone, alone)
    files = next((way[text] for way, text in zip(spellings, wanted, strict=True) if text in way), [])
    # Beside a camera's raw file or a DICOM file of the same name, the row is about the image that can be read.
    readable = [file for file in files if file.has_image_ending] or files
    if len(readable) > 1:
        raise ManifestError(
            f"expected one file for {patient.image!r} in row {patient.row} of {table.path}, got "
            f"{some([file.name for file in readable])}; write the name with its ending and its folder"
        )
    return readable[0].name if readable else None


def _check_repetition(table: PatientTable, name: str, earlier: Patient, later: Patient) -> None:
    if not later.says_the_same_as(earlier):
        raise ManifestError(
            f"expected one row for each image in {table.path}, but rows {earlier.row} and {later.row} are both about "
            f"{name} and differ; keep the right one"
        )
