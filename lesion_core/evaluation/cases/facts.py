"""What a dataset knows of its images besides their pixels and classes."""

import json
from pathlib import Path

import pandas as pd

from lesion_core.archive_fields import IMAGE_TYPE, of_today
from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.fields.table import FIELDS
from lesion_core.types import PatientMetadata

FACTS = (
    *(field.name for field in FIELDS),
    "source",
    "confirm_type",
    "image_kind",
    "licence",
    "attribution",
    "diagnosis",
    "group",
    "sha256",
    "image_key",
)


def read_facts(folder: Path) -> pd.DataFrame:
    """Return the facts of every image of a dataset, indexed by isic_id; missing values are NaN.

    Columns: the metadata fields as people know them (``age_years`` …), source, confirm_type, image_kind (as the
    archive states it), licence, attribution, diagnosis, group, sha256 and image_key.

    Args:
        folder: The dataset's local folder.

    Raises:
        ManifestError: The manifest breaks its schema.
    """
    manifest = read_table(folder / MANIFEST_NAME, MANIFEST_SCHEMA)
    types = [of_today(json.loads(text)).get(IMAGE_TYPE) for text in manifest["raw_metadata"]]
    facts = manifest.assign(image_kind=pd.Series(types, index=manifest.index, dtype=object))
    return facts.set_index("isic_id")[list(FACTS)]


def fact_of(facts: pd.DataFrame, isic_id: str) -> pd.Series:
    """Return the row of one image in a table of ``read_facts``."""
    row = facts.loc[isic_id]
    assert isinstance(row, pd.Series)  # an image has one row
    return row


def patient_of(fact: pd.Series) -> PatientMetadata:
    """Return what is known of the patient of one image, from its row of ``read_facts``."""
    known = {field.name: fact[field.name] for field in FIELDS if pd.notna(fact[field.name])}
    return PatientMetadata.model_validate(known)
