"""The columns of a table of images, by the names that they have today, whichever downloader wrote it.

- isic-cli writes the archive's flat names; it did so before 2025, too, with ``diagnosis``, ``benign_malignant`` and
  ``anatom_site_general``, which ``taxonomy`` reads.
- Downloaders of the archive's first API (v1, until 2021) flattened its JSON: ``name`` is the id, and metadata stand
  under ``meta.clinical.…`` and ``meta.acquisition.…``, the licence under ``dataset.license``.
- The JSON of today's API, flattened (``pandas.json_normalize``): ``metadata.clinical.…``, ``metadata.acquisition.…``.
- The table of the ISIC 2020 challenge: ``image_name`` and ``anatom_site_general_challenge``.

Nothing is read into a name that is not one of these; other columns stay what they are.
"""

from collections.abc import Sequence

from lesion_core import archive_fields

_PREFIXES = ("metadata.clinical.", "metadata.acquisition.", "meta.clinical.", "meta.acquisition.")


def names_of_today(header: Sequence[str]) -> tuple[str, ...]:
    """Return today's name of each column; two columns may get the same one, which is for the reader to refuse."""
    return archive_fields.names_of_today([_flat(name) for name in header])


def _flat(name: str) -> str:
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    return archive_fields.FIRST_API.get(name.removeprefix(prefix), name.removeprefix(prefix)) if prefix else name
