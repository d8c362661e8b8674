"""The files of a folder: which of them are tried as images, and what is left out, by kind."""

import os
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lesion_core.errors import ConfigError

# Endings of the formats that ``lesion_core.images`` reads. What a file holds decides, never its ending.
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    *(".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
)
# Endings under which nobody keeps an image. A file under any other ending, or none, is tried.
_OTHER_ENDINGS = frozenset(
    {
        *(".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log"),
        *(".xml", ".html", ".htm", ".xls", ".xlsx", ".ods", ".doc", ".docx", ".odt", ".parquet", ".feather", ".db"),
        *(
            ".sqlite",
            ".npy",
            ".npz",
            ".h5",
            ".keras",
            ".onnx",
            ".pkl",
            ".py",
            ".ipynb",
            ".sh",
            ".bat",
            ".exe",
            ".lnk",
        ),
        *(".zip", ".gz", ".tar", ".tgz", ".7z", ".rar", ".iso", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".mp3"),
        *(".wav", ".sha256", ".md5", ".part", ".partial", ".crdownload", ".tmp", ".xmp", ".aae", ".url"),
    }
)
_OTHER_NAMES = frozenset({"thumbs.db", "desktop.ini", "license", "licence", "readme", "makefile"})


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that gets a row: its path, and its name below the folder with ``/`` between the parts."""

    path: Path
    name: str

    @property
    def has_image_ending(self) -> bool:
        """Whether its ending is one of a format that is read."""
        return self.path.suffix.lower() in IMAGE_ENDINGS


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds: files that get a row, by name, and the names of what gets none, by kind."""

    images: tuple[ImageFile, ...]
    other_files: tuple[str, ...] = ()
    hidden_files: tuple[str, ...] = ()
    special_files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def list_folder(folder: Path, *, recursive: bool = False, own: Collection[Path] = ()) -> Listing:
    """Look through a folder; no file is opened.

    Args:
        folder: Where the images are.
        recursive: Whether its folders are looked through, too. Hidden ones and links to folders never are.
        own: Files of the command itself (its table, its output), which are no images.

    Raises:
        ConfigError: There is no such folder, it cannot be read, or nothing in it could be an image.
    """
    own_paths = {os.path.realpath(path) for path in own}
    kinds: dict[str, list[ImageFile]] = {kind: [] for kind in ("images", "other", "hidden", "special", "folders")}
    for entry in _walk(folder, recursive):
        path = Path(entry.path)
        name = _shown(path.relative_to(folder).as_posix())
        kind = "other" if os.path.realpath(path) in own_paths else _kind_of(entry)
        kinds[kind].append(ImageFile(path, name))
    images = tuple(sorted(kinds.pop("images"), key=lambda image: image.name))
    other, hidden, special, folders = (tuple(sorted(file.name for file in found)) for found in kinds.values())
    if not images:
        hint = f"; it holds {len(folders)} folders, into which --recursive goes" if folders else ""
        raise ConfigError(f"expected a folder with images, found none in {folder}{hint}")
    return Listing(images, other, hidden, special, folders)


def normal(name: str) -> str:
    """Return a name with accents in their composed form (Unicode NFC): file systems and tables differ in it."""
    return unicodedata.normalize("NFC", name)


def stem_of(name: str) -> str:
    """Return a name without its last ending, folders kept."""
    return str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).suffix else name


def _walk(folder: Path, recursive: bool) -> Iterator[os.DirEntry[str]]:
    """Yield what lies in a folder; a folder itself only where it is not gone into."""
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except FileNotFoundError as error:
        raise ConfigError(f"expected a folder with images, found none in {folder}: it does not exist") from error
    except OSError as error:
        raise ConfigError(f"expected a folder with images at {folder}, got: {error.strerror or error}") from error
    for entry in entries:
        if recursive and entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _walk(Path(entry.path), recursive)
        else:
            yield entry


def _kind_of(entry: os.DirEntry[str]) -> str:
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_dir():
        return "folders"
    if not entry.is_file():  # a broken link, a pipe, a socket
        return "special"
    ending = os.path.splitext(entry.name)[1].lower()
    return "other" if ending in _OTHER_ENDINGS or entry.name.lower() in _OTHER_NAMES else "images"


def _shown(name: str) -> str:
    """Return a name that can be written as UTF-8; bytes of another encoding become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
