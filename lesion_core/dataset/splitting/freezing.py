"""The frozen test: under one name it never gains an image, so that results under that name stay comparable."""

from collections.abc import Collection, Iterable

import pandas as pd

from lesion_core.dataset.lineage import find_first_of_test
from lesion_core.dataset.records import SPLITS_NAME
from lesion_core.dataset.splitting.splits import Reason
from lesion_core.errors import DataError
from lesion_core.keys import digest_of
from lesion_core.parquet import read_table
from lesion_core.refs import DatasetRef
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store
from lesion_core.types import Sha256

_MAX_NAMED = 5


def digest_of_ids(isic_ids: Iterable[str]) -> Sha256:
    """Return the sha256 of a set of ids: of the JSON list of them, sorted."""
    return digest_of(sorted(isic_ids))


def frozen_ids(history: pd.DataFrame, test_name: str) -> frozenset[str]:
    """Return every image that the test split of this name ever had, those gone since included."""
    return frozenset(history.loc[history["test_name"] == test_name, "isic_id"])


def remembered(history: pd.DataFrame, *, may_grow: bool) -> pd.DataFrame:
    """Return the rows that still bind: where the test may grow, what it had set aside is free to join it."""
    return history[history["reason"] != str(Reason.FROZEN)] if may_grow else history


def check_subset(test_ids: Collection[str], frozen: Collection[str], test_name: str, *, where: str) -> None:
    """Refuse a test split that has other images than when it was frozen.

    Raises:
        DataError: Naming them (``isic_ids``, ``test_name``).
    """
    if gained := sorted(set(test_ids) - set(frozen)):
        raise DataError(
            f"expected the test split {test_name!r} to gain no image after {where}, got {len(gained)} "
            f"({', '.join(gained[:_MAX_NAMED])}{', …' if len(gained) > _MAX_NAMED else ''}); prepare the dataset "
            "again, or under another test_name, which lets it grow",
            isic_ids=gained,
            test_name=test_name,
        )


def check_frozen(store: Store, name: str, test_name: str, test_ids: Collection[str]) -> None:
    """Refuse a test split with images that the first dataset with this test did not have.

    Args:
        store: Where the datasets are.
        name: Name of the dataset.
        test_name: Name of its test split.
        test_ids: The images in it.

    Raises:
        DataError: As ``check_subset``.
        ArtifactNotFound: A file of the first dataset is gone.
    """
    first = find_first_of_test(store, name, test_name)
    if first is not None:
        check_subset(test_ids, _test_ids(store, first.ref), test_name, where=first.ref.id)


def _test_ids(store: Store, dataset: DatasetRef) -> set[str]:
    table = read_table(read_file(store, dataset, SPLITS_NAME), ["isic_id", "split"])
    rows = table.to_pandas()
    return set(rows.loc[rows["split"] == "test", "isic_id"])
