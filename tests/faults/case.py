"""Three ways in which bad input comes: a file, a table, an answer; each a line of the documentation's tables."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lesion_core.isic.api.transport import Patience
from lesion_core.isic.mirror.server import running_mirror
from tests.core.isic.faulty import FaultyServer, faulty_server, listed, page, send
from tests.core.isic.folders import VASCULAR, isic_id, jpeg, row, write_table
from tests.faults.expected import Expected

EARLIER, BESIDE, SPOILED = (1, 2), (8, 9), 5
SEARCH = "/api/v2/images/search/"
QUICK = Patience(attempts=2, first_wait_seconds=0.001, connect_seconds=5, read_seconds=5, request_seconds=30)


@dataclass(frozen=True, slots=True)
class ImageCase:
    """A file in place of an image; all such files come in one archive."""

    came: str
    expected: Expected
    make: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class TableCase:
    """Another ``metadata.csv`` in place of the right one; ``None`` takes it away."""

    came: str
    expected: Expected
    spoil: Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """Answers that no real archive gives on demand; what ``spoil`` leaves alone is in order."""

    came: str
    expected: Expected
    spoil: Callable[[FaultyServer], None]
    limits: dict[str, Any] = field(default_factory=dict)
    listing: Literal["auto", "bulk"] = "auto"

    @property
    def patience(self) -> Patience:
        """Time limits of the run."""
        return replace(QUICK, **self.limits)


Case = ImageCase | TableCase | AnswerCase


def numbers(spoiled: Sequence[int]) -> tuple[int, ...]:
    """Every image of an archive: those that came earlier, the spoiled ones, and good ones beside them."""
    return (*EARLIER, *spoiled, *BESIDE)


def serve_files(files: Sequence[bytes], folder: Path) -> AbstractContextManager[str]:
    """Serve an archive with these files from number 10 on, named as the archive names its own."""
    spoiled = range(10, 10 + len(files))
    write_archive(folder, numbers(spoiled), vascular=spoiled[::2])
    for number, body in zip(spoiled, files, strict=True):
        (folder / f"{isic_id(number)}.jpg").write_bytes(body)
    return running_mirror(folder)


def serve_table(case: TableCase, folder: Path) -> AbstractContextManager[str]:
    """Serve a sound archive with the case's table."""
    path = write_archive(folder, numbers([SPOILED])) / "metadata.csv"
    table = case.spoil(path.read_bytes())
    path.unlink()
    if table is not None:
        path.write_bytes(table)
    return running_mirror(folder)


@contextlib.contextmanager
def serve_answers(case: AnswerCase) -> Iterator[str]:
    """Serve a sound archive with the case's answers."""
    with faulty_server() as server:
        answer_soundly(server, numbers([SPOILED]))
        case.spoil(server)
        yield server.url


def answer_soundly(server: FaultyServer, listed_numbers: Sequence[int]) -> None:
    """List these images and have their files."""
    server.answers = {f"/{number}.jpg": [send(jpeg(number))] for number in listed_numbers}
    server.answers[SEARCH] = [send(page(listed_rows(server, listed_numbers), len(listed_numbers)))]


def listed_rows(server: FaultyServer, listed_numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The listing's rows of the images with these numbers."""
    return [listed(number, f"{server.host}/{number}.jpg", age_approx=45) for number in listed_numbers]


def write_archive(folder: Path, listed_numbers: Sequence[int], vascular: Collection[int] = ()) -> Path:
    """Write a sound archive folder and return it: nevi, but for those of the other class."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = {number: {"diagnosis_3": "", **VASCULAR} if number in vascular else {} for number in listed_numbers}
    write_table(folder, [row(number, age_approx="45", **classes[number]) for number in listed_numbers])
    for number in listed_numbers:
        (folder / f"{isic_id(number)}.jpg").write_bytes(jpeg(number))
    return folder
