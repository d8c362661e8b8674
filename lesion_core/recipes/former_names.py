"""Names that recipe fields had before, so that recipes and models stored under them are still read.

The key of a model is a digest of its recipe under the first names: renaming a field makes no new version.
"""

from collections.abc import Mapping
from typing import Any

from lesion_core.types import JsonDict

# Dotted path of a field under its former name -> its present name.
FORMER_NAMES: Mapping[str, str] = {
    "views": "test_time_augmentation",
    "members": "ensemble_size",
    "optimisation.backup_seconds": "checkpoint_seconds",
    "optimisation.backup_steps": "checkpoint_steps",
}


def present_path(path: str) -> str:
    """Return the dotted path of a field under its present name."""
    section, dot, _ = path.rpartition(".")
    return f"{section}{dot}{FORMER_NAMES[path]}" if path in FORMER_NAMES else path


def former_names_in(content: object) -> dict[str, str]:
    """Return the former names that a recipe's content uses, each with the present path."""
    return {path: present_path(path) for path in FORMER_NAMES if _section(content, path) is not None}


def with_present_names(content: Any) -> Any:
    """Return a recipe's content under the present names.

    Raises:
        ValueError: A field is given under both names.
    """
    for path in former_names_in(content):
        if isinstance(content, dict):
            content = _renamed(content, path.split("."), FORMER_NAMES[path])
    return content


def with_former_names(content: JsonDict) -> JsonDict:
    """Return the dump of a recipe under the names that fields had first, as digests count them."""
    for path, name in FORMER_NAMES.items():
        *section, former = path.split(".")
        present = [*section, name]
        if _section(content, ".".join(present)) is not None:
            content = _renamed(content, present, former)
    return content


def _section(content: object, path: str) -> Mapping[str, Any] | None:
    """Return the section that holds the field at ``path``, if it does."""
    *parents, name = path.split(".")
    for parent in parents:
        content = content.get(parent) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) and name in content else None


def _renamed(content: JsonDict, path: list[str], name: str) -> JsonDict:
    """Return a copy, in the same order, in which the field at ``path`` is called ``name``."""
    head, *rest = path
    if rest:
        return {**content, head: _renamed(content[head], rest, name)}
    if name in content:
        raise ValueError(f"expected {name!r} once, got it as {head!r} as well, its former name; leave {head!r} out")
    return {name if key == head else key: value for key, value in content.items()}
