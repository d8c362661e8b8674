"""isic-cli: folders as interrupted downloads, browsers and spreadsheets leave them."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from lesion_core.errors import ManifestError
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.mirror.folder import read_folder
from lesion_core.isic.mirror.placement import check_files
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.stores.local import LocalStore
from tests.core.isic.folders import isic_id, jpeg
from tests.faults.case import write_archive
from tests.faults.expected import Refused
from tests.faults.surroundings.case import Place, SurroundingCase, Works

Act = Callable[[Place], None]
_N_IMAGES = 4


class _Warnings(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.words += record.getMessage()


def _ingested(spoil: Callable[[Path], object], n_used: int = _N_IMAGES, warned: str = "") -> Act:
    """Serve a folder that was spoiled, as ``make demo ARCHIVE=FOLDER`` does, and ingest it."""

    def act(place: Place) -> None:
        folder = write_archive(place.folder / "images", range(1, _N_IMAGES + 1))
        spoil(folder)
        handler, log = _Warnings(), logging.getLogger("lesion_core.isic.mirror.placement")
        log.addHandler(handler)
        try:
            check_files(read_folder(folder))
        finally:
            log.removeHandler(handler)
        assert handler.words.startswith(warned) if warned else not handler.words, handler.words
        with running_mirror(folder) as url:
            assert ingest(ArchiveSource(url=url), LocalStore(place.folder / "store")).n_images == n_used

    return act


def _leftovers(folder: Path) -> None:
    """What an interrupted download, macOS and Windows leave, beside the licences that isic-cli writes."""
    (folder / ".isic-partial.AbC123").write_bytes(jpeg(1)[:50])
    (folder / f"{isic_id(1)}.jpg.part").write_bytes(jpeg(1)[:50])
    (folder / f"._{isic_id(1)}.jpg").write_bytes(b"AppleDouble")
    for name in (".DS_Store", "Thumbs.db", "attribution.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "licenses").mkdir()
    (folder / "licenses" / "CC-0.txt").write_bytes(b"x")


def _upper_case(folder: Path) -> None:
    for path in folder.glob("*.jpg"):
        path.rename(path.with_suffix(".JPG"))


def _copies(folder: Path) -> None:
    shutil.copy(folder / f"{isic_id(1)}.jpg", folder / f"{isic_id(1)} (1).jpg")


def _in_a_folder_below(folder: Path) -> None:
    (folder / "ISIC-images").mkdir()
    for path in folder.glob("*.jpg"):
        path.rename(folder / "ISIC-images" / path.name)


def _packed(folder: Path) -> None:
    (folder / "ISIC-images.zip").write_bytes(b"PK")
    for path in folder.glob("*.jpg"):
        path.unlink()


def _short_table(folder: Path) -> None:
    table = folder / "metadata.csv"
    table.write_bytes(b"".join(table.read_bytes().splitlines(keepends=True)[:3]))


def _for_excel(folder: Path) -> None:
    table = folder / "metadata.csv"
    table.write_bytes(b"sep=,\r\n" + table.read_bytes())


FOLDER_CASES = (
    SurroundingCase(
        "files that an interrupted download, macOS, Windows and isic-cli itself leave beside the images",
        "ImageMarkup/isic-cli#56",
        Works("without them"),
        _ingested(_leftovers),
    ),
    SurroundingCase(
        "images called .JPG",
        "",
        Works("like .jpg"),
        _ingested(_upper_case),
    ),
    SurroundingCase(
        "a second copy of an image, called ISIC_0000001 (1).jpg",
        "",
        Works("once; the copy is named in a warning"),
        _ingested(_copies, warned="1 image files in"),
    ),
    SurroundingCase(
        "a table that was cut: images without a row",
        "ImageMarkup/isic-cli#19",
        Works("the rows that are there; the other files are counted in a warning"),
        _ingested(_short_table, n_used=2, warned="2 image files in"),
    ),
    SurroundingCase(
        "images in a folder below the table",
        "",
        Refused(ManifestError, "but 4 images in its folder 'ISIC-images'"),
        _ingested(_in_a_folder_below),
    ),
    SurroundingCase(
        "a zip file that was not unpacked",
        "",
        Refused(ManifestError, "ISIC-images.zip, which is to be unpacked"),
        _ingested(_packed),
    ),
    SurroundingCase(
        "a table with Excel's first line sep=,",
        "",
        Refused(ManifestError, "expected a column isic"),
        _ingested(_for_excel),
    ),
)
