"""The certificate: what a dataset holds, and the proof that nothing stands in two splits or in two folds.

What can be counted is counted in the finished tables; checking it means counting again (``census``).
"""

import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd
from pydantic import Field, ValidationError

from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.proof.census import (
    DUPLICATES_NAME,
    DUPLICATES_SCHEMA,
    TABLES,
    Census,
    TestSplit,
    take_census,
)
from lesion_core.dataset.records import SPLITS_NAME, SPLITS_SCHEMA, OpenDataset
from lesion_core.dataset.splitting.freezing import check_frozen, digest_of_ids
from lesion_core.errors import ManifestError
from lesion_core.refs import DatasetRef
from lesion_core.stores.folders import get_index, read_file
from lesion_core.stores.protocol import Store
from lesion_core.types import IsicId, JsonDict, Value

__all__ = ["DUPLICATES_NAME", "DUPLICATES_SCHEMA", "Census", "TestSplit"]

CERTIFICATE_NAME = "certificate.json"
_ROUNDING = 1e-9  # a mean of recalls that equals chance may come out a little above it


class Shortcut(Value):
    """How well something that is no skin predicts the class; see ``shortcuts``."""

    features: str = Field(description="What the model sees: 'width and height', 'source' …")
    balanced_accuracy: float = Field(ge=0, le=1, description="Mean recall of the classes, cross-validated by group")
    chance: float = Field(ge=0, le=1, description="1 / number of classes")
    shuffled_mean: float = Field(
        ge=0, le=1, description="The same where groups have each other's classes, on average"
    )
    shuffled_best: float = Field(ge=0, le=1, description="The best of those: above it, something is to be seen")
    n_shuffles: int = Field(ge=1, description="How many")
    n_images: int = Field(ge=1, description="Images looked at")

    @property
    def is_telling(self) -> bool:
        """Whether it predicts the class better than the best of the shuffles does, and than a guess.

        Where all images have one value, rounding decides what the tree answers, and every shuffle may stand below
        chance.
        """
        return self.balanced_accuracy > max(self.shuffled_best, self.chance) + _ROUNDING


class Certificate(Census):
    """Content of ``certificate.json``."""

    inputs: JsonDict = Field(description="What the dataset was made from, as in the folder's index")
    withdrawn: tuple[IsicId, ...] = Field(description="Images of the snapshot that the archive took back: left out")
    shortcuts: tuple[Shortcut, ...] = Field(
        default=(), description="What tells the class without looking; refuses nothing. Empty: not looked for"
    )


def write_certificate(
    folder: Path,
    inputs: JsonDict,
    splits: pd.DataFrame,
    *,
    withdrawn: Collection[str] = (),
    shortcuts: Sequence[Shortcut] = (),
) -> Certificate:
    """Certify the tables in ``folder`` and write ``certificate.json`` beside them.

    Args:
        folder: Holds all tables.
        inputs: What the dataset was made from.
        splits: The rows of ``splits.parquet``.
        withdrawn: Images that were left out because the archive took them back.
        shortcuts: What the audit found.

    Raises:
        DataError: As for ``take_census``.
    """
    census = take_census(folder, _options(inputs), splits)
    certificate = Certificate(
        **dict(census), inputs=inputs, withdrawn=tuple(sorted(withdrawn)), shortcuts=tuple(shortcuts)
    )
    content = json.dumps(certificate.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / CERTIFICATE_NAME).write_text(content + "\n", encoding="utf-8")
    return certificate


def read_certificate(folder: Path) -> Certificate:
    """Read a dataset's certificate.

    Raises:
        ManifestError: It is missing or is none.
    """
    path = folder / CERTIFICATE_NAME
    try:
        return Certificate.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ManifestError(f"expected a certificate at {path}, got: {error}; prepare the dataset again") from error


def verify_certificate(dataset: OpenDataset) -> Certificate:
    """Count everything again in an opened dataset and return its certificate if it is true.

    Raises:
        LeakageError: Something stands in two splits or folds; the message names it.
        LicenceRefused: Images under a licence that the stated profile does not allow.
        ManifestError: The certificate says something else than the tables, or they do not fit each other.
        DataError: The test split gained images.
    """
    stated = _verified(dataset.folder, dataset.rows, dataset.ref)
    _check_places(dataset)
    return stated


def verify_stored(store: Store, ref: DatasetRef) -> Certificate:
    """Count everything again in a stored dataset's tables and return its certificate if it is true.

    Only the tables are read, not the pixels. The test split is compared with that of the first dataset that had it.

    Raises:
        ArtifactNotFound: The dataset, its certificate or a table is not there.
        ArtifactCorrupt: Stored bytes are not those that were published.
        DataError: As ``verify_certificate``.
    """
    _, index = get_index(store, ref)
    with tempfile.TemporaryDirectory(prefix="lesion-tables-") as place:
        folder = Path(place)
        for name in (CERTIFICATE_NAME, *TABLES):
            (folder / name).write_bytes(read_file(store, ref, name))
        rows = read_table(folder / SPLITS_NAME, SPLITS_SCHEMA)
        stated = _verified(folder, rows, ref)
    if stated.inputs != index.inputs:
        raise _untrue(ref, ["inputs"])
    check_frozen(store, ref.name, stated.test.name, rows.loc[rows["split"] == "test", "isic_id"].to_list())
    return stated


def _verified(folder: Path, rows: pd.DataFrame, ref: DatasetRef) -> Certificate:
    stated = read_certificate(folder)
    found = take_census(folder, _options(stated.inputs), rows)
    wrong = [name for name in Census.model_fields if getattr(found, name) != getattr(stated, name)]
    ids = read_table(folder / MANIFEST_NAME, MANIFEST_SCHEMA)["isic_id"]
    if digest_of_ids(stated.withdrawn) != stated.inputs.get("withdrawn") or ids.isin(stated.withdrawn).any():
        wrong.append("withdrawn")
    if found.n_images != ref.n_images:
        wrong.append("n_images")
    if wrong:
        raise _untrue(ref, wrong)
    return stated


def _untrue(ref: DatasetRef, wrong: Sequence[str]) -> ManifestError:
    return ManifestError(
        f"expected the certificate of {ref.id} to fit its tables, but {', '.join(wrong)} differ; the "
        "dataset was changed after it was certified: prepare it again",
        fields=list(wrong),
    )


def _options(inputs: JsonDict) -> PrepareOptions:
    try:
        return PrepareOptions.model_validate(inputs["options"])
    except (KeyError, ValidationError) as error:
        raise ManifestError(
            f"expected the certificate to state the options that the dataset was made with, got: {error}; prepare "
            "the dataset again"
        ) from error


def _check_places(dataset: OpenDataset) -> None:
    places = dataset.rows.groupby("shard")["row"]
    if dataset.rows.duplicated(["shard", "row"]).any() or dataset.rows["row"].min() < 0:
        raise ManifestError("expected each image at its own place in the records; prepare the dataset again")
    for number, last in places.max().items():
        n_rows = len(dataset.shard(int(str(number))))
        if last >= n_rows:
            raise ManifestError(
                f"expected row {last} in shard {number}, which has {n_rows}; prepare the dataset again"
            )
