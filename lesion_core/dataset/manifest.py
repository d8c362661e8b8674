"""The manifest: one row per image, with everything that is known about it."""

import logging
from enum import StrEnum
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lesion_core import parquet
from lesion_core.errors import LicenceRefused, ManifestError
from lesion_core.fields.columns import with_later_columns
from lesion_core.fields.table import categories, numbers
from lesion_core.isic.placeholders import ID_FIELDS, is_placeholder
from lesion_core.isic.snapshot import IMAGES_NAME, IMAGES_SCHEMA
from lesion_core.labels import CLASS_ORDER
from lesion_core.refs import SnapshotRef
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store
from lesion_core.types import LICENCE_ORDER, LICENCE_PROFILES, LicenceProfile

MANIFEST_NAME = "manifest.parquet"

_DIAGNOSIS = IMAGES_SCHEMA.get_field_index("diagnosis")
_IMAGES = IMAGES_SCHEMA.set(_DIAGNOSIS, IMAGES_SCHEMA.field(_DIAGNOSIS).with_nullable(False))
MANIFEST_SCHEMA = pa.schema(
    [*_IMAGES, pa.field("source", pa.string(), nullable=False), pa.field("group", pa.string(), nullable=False)]
)

_MAX_NAMED = 5
log = logging.getLogger(__name__)


def source_of(attribution: str) -> str:
    """Return who took an image, from whom it asks to credit: case, spaces and a closing full stop do not count.

    The archive states no other origin for every image. 'Anonymous' is one source: it cannot be distinguished.
    """
    return " ".join(attribution.split()).rstrip(".").casefold() or "anonymous"


def read_images(store: Store, snapshot: SnapshotRef) -> pd.DataFrame:
    """Return a snapshot's table of images, checked, sorted by ``isic_id``.

    A placeholder for a patient or a lesion is a missing id here, too (``isic.placeholders``).

    Raises:
        ManifestError: The table breaks its schema.
        ArtifactNotFound: The snapshot or its table is not in the store.
        ArtifactCorrupt: The stored bytes are not those that were published.
    """
    return parse_images(read_file(store, snapshot, IMAGES_NAME), source=f"{snapshot.key}/{IMAGES_NAME}")


def parse_images(body: bytes, *, source: str) -> pd.DataFrame:
    """Return the table in a parquet file's bytes, as ``read_images`` does; ``source`` names it in errors."""
    try:
        table = with_later_columns(parquet.read_table(body), IMAGES_SCHEMA)
        missing = [name for name in IMAGES_SCHEMA.names if name not in table.column_names]
        if missing:
            raise ManifestError(f"{source} lacks the columns {', '.join(missing)}; ingest the snapshot again")
        images = table.select(IMAGES_SCHEMA.names).cast(_nullable(IMAGES_SCHEMA)).to_pandas(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(
            f"expected a table of images in {source}, got: {error}; ingest the snapshot again"
        ) from error
    images = _without_placeholders(images, source)
    check_images(images, source=source)
    return images.sort_values("isic_id", ignore_index=True)


def check_images(images: pd.DataFrame, *, source: str) -> None:
    """Check every value of a table of images.

    Raises:
        ManifestError: Values outside the schema; the message names column, rows and what was expected.
    """
    if images.empty:
        raise ManifestError(f"expected images in {source}, got none; widen the query or the accepted licences")
    required = [field.name for field in _IMAGES if not field.nullable]
    for name in required:
        _refuse(images, images[name].isna(), name, "a value in every row", source)
    _refuse(images, images["isic_id"].duplicated(keep=False), "isic_id", "each image once", source)
    hexadecimal = images["sha256"].astype(str).str.fullmatch(r"[0-9a-f]{64}")
    _refuse(images, ~hexadecimal, "sha256", "64 hexadecimal digits", source)
    for name in ("n_bytes", "width", "height"):
        _refuse(images, images[name] < 1, name, "a positive number", source)
    for number in numbers():
        outside = images[number.name].notna() & ~images[number.name].between(number.low, number.high)
        _refuse(images, outside, number.name, f"{number.range_in_words} or null", source)
    _check_words(images, "diagnosis", CLASS_ORDER, source)
    for category in categories():
        _check_words(images, category.name, category.words, source)
    _check_words(images, "licence", LICENCE_ORDER, source)
    _refuse(images, _placeholders(images["isic_id"]), "isic_id", "an id", source)


def _without_placeholders(images: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the images with null for each id of a patient or lesion that stands for nobody."""
    cleaned = images.copy()
    for name in ID_FIELDS:
        is_none = images[name].notna() & _placeholders(images[name])
        if is_none.any():
            values = ", ".join(sorted({repr(value) for value in images.loc[is_none, name]})[:_MAX_NAMED])
            log.warning("%s in %d images of %s is a placeholder (%s), not an id", name, is_none.sum(), source, values)
            cleaned[name] = images[name].where(~is_none, None)
    return cleaned


def _placeholders(ids: pd.Series) -> pd.Series:
    return pd.Series([is_placeholder(value) for value in ids], index=ids.index, dtype=bool)


def check_licences(images: pd.DataFrame, profile: LicenceProfile) -> None:
    """Refuse images under a licence that the profile does not allow.

    Raises:
        LicenceRefused: Naming the first of them and their number (``isic_ids``, ``profile``).
    """
    allowed = LICENCE_PROFILES[profile]
    refused = images.loc[~images["licence"].isin(allowed)]
    if len(refused):
        named = ", ".join(f"{row.isic_id}: {row.licence}" for row in refused.head(_MAX_NAMED).itertuples())
        raise LicenceRefused(
            f"expected only images under {', '.join(allowed)} in a dataset of the profile {profile!r}, got "
            f"{len(refused)} others ({named}{', …' if len(refused) > _MAX_NAMED else ''}); ingest with licences="
            f"{list(allowed)}, or use the profile 'research-nc' if nothing of it will be used commercially",
            isic_ids=refused["isic_id"].to_list(),
            profile=profile,
        )


def write_manifest(images: pd.DataFrame, path: Path) -> None:
    """Write the images with ``source`` and ``group``; the same rows give the same bytes with the same pyarrow."""
    write_table(images, MANIFEST_SCHEMA, path)


def write_table(rows: pd.DataFrame, schema: pa.Schema, path: Path) -> None:
    """Write rows as parquet under an exact schema.

    Raises:
        ManifestError: The rows do not fit the schema.
    """
    try:
        pq.write_table(pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False), path)
    except (pa.ArrowException, KeyError) as error:
        raise ManifestError(f"expected rows with {', '.join(schema.names)} for {path.name}, got: {error}") from error


def read_table(source: Path | bytes, schema: pa.Schema) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote, from its file or its bytes.

    Raises:
        ManifestError: It is not there, or has another schema.
    """
    place = "what the store has" if isinstance(source, bytes) else source
    try:
        table = with_later_columns(parquet.read_table(source), schema)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"expected a table in {place}, got: {error}; prepare the dataset again") from error
    if not table.schema.equals(schema):
        raise ManifestError(
            f"expected the columns {', '.join(schema.names)} in {place}, got {', '.join(table.column_names)}; "
            "prepare the dataset again"
        )
    return table.to_pandas(use_threads=False)


def _nullable(schema: pa.Schema) -> pa.Schema:
    """Return the schema without its not-null marks, so that a null is found by row and not refused by type."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def _check_words(images: pd.DataFrame, name: str, known: tuple[StrEnum, ...] | tuple[str, ...], source: str) -> None:
    words = [str(word) for word in known]
    _refuse(images, images[name].notna() & ~images[name].isin(words), name, f"one of {', '.join(words)}", source)


def _refuse(images: pd.DataFrame, wrong: pd.Series, name: str, expected: str, source: str) -> None:
    if wrong.any():
        rows = images.loc[wrong]
        named = ", ".join(f"{row.isic_id}: {getattr(row, name)!r}" for row in rows.head(_MAX_NAMED).itertuples())
        raise ManifestError(
            f"expected {expected} in column {name!r} of {source}, got {len(rows)} other rows ({named}"
            f"{', …' if len(rows) > _MAX_NAMED else ''}); ingest the snapshot again",
            field=name,
            n_rows=len(rows),
        )
