"""Which images of another dataset a model was made from, or hardly differs from what it was made from.

For an external test set: what the model, or one of those it started or learnt from, has trained, chosen or calibrated
on must not be tested on. Two images are the same where they share id, bytes, lesion or patient, or where they are
near-duplicates (``dataset.splitting.duplicates``); and a group goes as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.dataset.manifest import MANIFEST_NAME
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.dataset.splitting.duplicates import THUMBNAIL_PX, find_near_duplicates, thumbnail_of
from lesion_core.errors import ArtifactNotFound
from lesion_core.images import Preprocessing, resize
from lesion_core.lineage.exposure import MADE_FROM, lineage_of, read_image_list
from lesion_core.parquet import read_frame
from lesion_core.progress import ProgressCallback, Tally
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.stores.protocol import Store

_SMALL = Preprocessing(size_px=THUMBNAIL_PX)
_AT_A_TIME = 256


class Sameness(StrEnum):
    """Why an image is none that the model has not seen; the first that holds is told."""

    ID = "same isic_id as an image that the model was made from"
    BYTES = "same bytes as an image that the model was made from"
    LESION = "same lesion as an image that the model was made from"
    PATIENT = "same patient as an image that the model was made from"
    NEAR = "near-duplicate of an image that the model was made from"
    GROUP = "in one group with an image that is left out"


_EVIDENCE = {
    "isic_id": Sameness.ID,
    "sha256": Sameness.BYTES,
    "lesion_id": Sameness.LESION,
    "patient_id": Sameness.PATIENT,
}


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a model has seen of a dataset.

    Attributes:
        rows: ``isic_id``, ``reason`` (``Sameness``) and ``detail`` ('ISIC_0000001 of isic/0f3a9c1d22b4'), one row per
            image that was seen, sorted by id.
        not_compared: Datasets whose pixels were removed, so that near-duplicates of their images cannot be found.
    """

    rows: pd.DataFrame
    not_compared: tuple[str, ...]


def find_overlap(
    store: Store, model: ModelRef, dataset: OpenDataset, *, cache: Path, on_progress: ProgressCallback
) -> Overlap:
    """Return the images of a dataset that a model, or one of its parent models, was made from.

    Args:
        store: Where models and datasets lie.
        model: Which model.
        dataset: Images that it is to be tested on; all that are not quarantined are looked at.
        cache: Local folder for copies of the datasets that the model was made from.
        on_progress: Gets the stages of ``find_near_duplicates``, and 'thumbnails of …'.

    Raises:
        ArtifactNotFound: A model or dataset that went into it is stored no more, nor the list of its images, so that
            nobody can tell.
    """
    lineage, unknown = lineage_of(store, model)
    if unknown:
        raise ArtifactNotFound(
            f"expected the models that {model.id} started or learnt from, to tell which images it has seen, found no "
            f"{', '.join(unknown)}; restore them, or test another model",
            key=f"models/{unknown[0]}",
        )
    own = _with_evidence(dataset, dataset.rows[dataset.rows["split"] != "quarantined"])
    found: dict[str, tuple[Sameness, str]] = {}
    not_compared = []
    for made_from, fold in {(each.dataset.id, each.fold): (each.dataset, each.fold) for each in lineage}.values():
        _add_evidence(found, own, _members(store, made_from, fold), made_from.id)
        opened = _opened(store, made_from, fold, cache)
        if opened is None:
            not_compared.append(made_from.id)
        else:
            _add_near_duplicates(found, dataset, own, opened, on_progress)
    _add_groups(found, own)
    rows = [(isic_id, str(why), detail) for isic_id, (why, detail) in sorted(found.items())]
    return Overlap(pd.DataFrame(rows, columns=["isic_id", "reason", "detail"]), tuple(sorted(not_compared)))


def _with_evidence(dataset: OpenDataset, rows: pd.DataFrame) -> pd.DataFrame:
    evidence = read_frame(dataset.folder / MANIFEST_NAME, columns=list(_EVIDENCE))
    return rows.merge(evidence, on="isic_id", validate="1:1").reset_index(drop=True)


def _members(store: Store, made_from: DatasetRef, fold: int | None) -> pd.DataFrame:
    """Return what is known of the images that went into a model: with lesion and patient, where it is stored yet."""
    members = read_image_list(store, made_from, fold=fold)
    return members[members["split"].isin(MADE_FROM)]


def _opened(store: Store, made_from: DatasetRef, fold: int | None, cache: Path) -> OpenDataset | None:
    try:
        opened = open_dataset(store, made_from, cache)
    except ArtifactNotFound:
        return None
    return opened if fold is None else opened.for_fold(fold)


def _add_evidence(
    found: dict[str, tuple[Sameness, str]], own: pd.DataFrame, members: pd.DataFrame, dataset_id: str
) -> None:
    for column, why in _EVIDENCE.items():
        if column not in members:
            continue
        once = members[members[column].notna()].drop_duplicates(column)
        known = dict(zip(once[column], once["isic_id"], strict=True))
        met = own[own[column].isin(list(known))]
        for isic_id, value in zip(met["isic_id"], met[column], strict=True):
            found.setdefault(str(isic_id), (why, f"{known[value]} of {dataset_id}"))


def _add_near_duplicates(
    found: dict[str, tuple[Sameness, str]],
    dataset: OpenDataset,
    own: pd.DataFrame,
    opened: OpenDataset,
    on_progress: ProgressCallback,
) -> None:
    members = _with_evidence(opened, opened.rows[opened.rows["split"].isin(MADE_FROM)])
    _add_evidence(found, own, members, opened.ref.id)
    fresh = own[~own["isic_id"].isin(list(found))].drop_duplicates("sha256")
    once = members.drop_duplicates("sha256")
    thumbnails = [*_thumbnails(dataset, fresh, on_progress), *_thumbnails(opened, once, on_progress)]
    if not len(fresh) or not len(once):
        return
    pairs = find_near_duplicates(np.stack(thumbnails), on_progress)
    across = pairs[(pairs["first"] < len(fresh)) & (pairs["second"] >= len(fresh))]
    of_bytes = own.groupby("sha256")["isic_id"].agg(list)
    for first, second in zip(across["first"].astype(int), across["second"].astype(int), strict=True):
        detail = f"{once['isic_id'].iloc[second - len(fresh)]} of {opened.ref.id}"
        for isic_id in of_bytes[fresh["sha256"].iloc[first]]:
            found.setdefault(str(isic_id), (Sameness.NEAR, detail))


def _thumbnails(dataset: OpenDataset, rows: pd.DataFrame, on_progress: ProgressCallback) -> Iterator[np.ndarray]:
    """Yield the grey thumbnail, uint8 (32, 32), of each row's record."""
    tally = Tally(on_progress, f"thumbnails of {dataset.ref.id}", len(rows))
    for start in range(0, len(rows), _AT_A_TIME):
        part = rows.iloc[start : start + _AT_A_TIME]
        for pixels in dataset.pixels(part):
            yield thumbnail_of(resize(pixels, _SMALL))
        tally.add(len(part))


def _add_groups(found: dict[str, tuple[Sameness, str]], own: pd.DataFrame) -> None:
    """Let the other images of a group go with those that were seen."""
    seen = own[own["isic_id"].isin(list(found))].drop_duplicates("group").set_index("group")["isic_id"]
    for isic_id, group in zip(own["isic_id"], own["group"], strict=True):
        if group in seen.index:
            found.setdefault(str(isic_id), (Sameness.GROUP, str(seen[group])))
