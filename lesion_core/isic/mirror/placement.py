"""Whether a folder's images lie where its table says, checked before anything is served from it."""

import logging
from pathlib import Path

from lesion_core.errors import ManifestError
from lesion_core.isic.mirror.folder import EXTENSIONS, ArchiveFolder
from lesion_core.isic.mirror.tables import some

log = logging.getLogger(__name__)


def check_files(folder: ArchiveFolder) -> None:
    """See that images lie beside the table, and log a warning that counts those without a row.

    Raises:
        ManifestError: Not one of the table's images is there; the message says where others were found.
    """
    if folder.entries and not any(entry.file_name for entry in folder.entries):
        raise ManifestError(
            f"expected the images of {len(folder.entries)} rows as files such as {folder.entries[0].isic_id}.jpg in "
            f"{folder.path}, found none of them{_found_elsewhere(folder.path)}; put images and table into one folder"
        )
    listed = {entry.file_name for entry in folder.entries}
    unlisted = sorted(path.name for path in _images_in(folder.path) if path.name not in listed)
    if unlisted:
        log.warning(
            "%d image files in %s have no row in the table and are left out: %s",
            len(unlisted),
            folder.path,
            some(unlisted),
        )


def _images_in(path: Path) -> list[Path]:
    return [item for item in path.iterdir() if item.suffix.lower() in EXTENSIONS and not item.name.startswith(".")]


def _found_elsewhere(path: Path) -> str:
    """Say what of it was found: packed, or in folders below."""
    packed = sorted(item.name for item in path.glob("*.zip"))
    if packed:
        return f", but {some(packed)}, which is to be unpacked"
    for below in sorted(item for item in path.iterdir() if item.is_dir()):
        if n_images := len(_images_in(below)):
            return f", but {n_images} images in its folder {below.name!r}"
    return ""
