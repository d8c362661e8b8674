"""From a snapshot to a certified, recorded dataset: the step itself."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.dataset.lineage import check_folds, descent_of, find_newest, is_frozen, read_split_history
from lesion_core.dataset.manifest import (
    MANIFEST_NAME,
    check_licences,
    read_images,
    source_of,
    write_manifest,
    write_table,
)
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.proof.certificate import DUPLICATES_NAME, DUPLICATES_SCHEMA, Shortcut, write_certificate
from lesion_core.dataset.proof.leakage import NO_FOLD
from lesion_core.dataset.proof.shortcuts import audit_shortcuts, border_colours
from lesion_core.dataset.records import SHARD_ROWS, SPLITS_NAME, SPLITS_SCHEMA, shard_name
from lesion_core.dataset.shards import write_shards
from lesion_core.dataset.splitting.duplicates import find_near_duplicates
from lesion_core.dataset.splitting.folds import assign_folds
from lesion_core.dataset.splitting.freezing import check_frozen, digest_of_ids, frozen_ids, remembered
from lesion_core.dataset.splitting.groups import EVIDENCE, group_images
from lesion_core.dataset.splitting.split_history import (
    SPLIT_HISTORY_NAME,
    SPLIT_HISTORY_SCHEMA,
    next_split_history,
    past_folds,
    withdrawn_rows,
)
from lesion_core.dataset.splitting.splits import assign_splits, shares_of
from lesion_core.errors import ArtifactNotFound, DataError
from lesion_core.fields.columns import encoded
from lesion_core.fields.table import FIELDS, key_of_later
from lesion_core.images import Preprocessing
from lesion_core.isic.external.labels import EXTERNAL_NAME, LEFT_OUT_NAME
from lesion_core.isic.withdrawals import withdrawn_ids
from lesion_core.keys import DIGEST_LENGTH, dataset_key, digest_of
from lesion_core.labels import class_index
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.refs import DatasetRef, SnapshotRef
from lesion_core.stores.filesystem import locked, translated
from lesion_core.stores.folders import publish, read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import LICENCE_ORDER, JsonDict

STEP = "prepare"
STEP_VERSION = 5


def prepare(
    snapshot: SnapshotRef,
    options: PrepareOptions,
    store: Store,
    *,
    workdir: Path,
    on_progress: ProgressCallback = ignore_progress,
) -> DatasetRef:
    """Make the dataset of a snapshot, or return it at once where it was made before.

    Splits and folds given by earlier datasets of the same name are kept; see ``splits``, ``folds`` and ``freezing``.
    Images that the archive withdrew are left out, so a withdrawal gives another dataset of the same snapshot.

    Args:
        snapshot: Images and metadata.
        options: Name, size, fractions, folds, seed, name of the test split, and which licences are allowed.
        store: Where everything lives.
        workdir: Local scratch; an interrupted preparation continues there.
        on_progress: Gets the stages 'records', 'near-duplicates', 'groups and splits', 'border colours',
            'shortcut audit' and 'publish'.

    Raises:
        ConfigError: The fractions leave too little for training, or another number of folds, or an older test split
            than the name's datasets have.
        LicenceRefused: Images under a licence that the profile does not allow.
        ManifestError: The snapshot's table breaks its schema.
        ArtifactNotFound: An external test set is asked of a snapshot that is none of a folder.
        DataError: Images that do not decode, or too few lesions to fill the splits.
        StoreError: The store's own.
    """
    shares_of(options)
    withdrawn = _withdrawn(snapshot, store)
    wanted = _wanted(snapshot, options, withdrawn)
    place = _scratch(workdir, options, wanted)
    if (made := find_newest(store, options.name, wanted)) is not None:
        return made.ref
    with translated(place), locked(place.with_name(f"{place.name}.lock")):
        if (made := find_newest(store, options.name, wanted)) is not None:
            return made.ref  # by another worker, that held the lock
        ref = _make(snapshot, options, store, wanted, withdrawn, place, on_progress)
        shutil.rmtree(place, ignore_errors=True)
    return ref


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is of a preparation: the dataset, or the records that an interrupted one left behind."""

    dataset: DatasetRef | None
    n_shards: int = 0  # shards of records that are whole, in the scratch folder
    n_records: int = 0  # images in a shard, except in the last


def find_standing(snapshot: SnapshotRef, options: PrepareOptions, store: Store, workdir: Path) -> Standing:
    """Return what ``prepare`` would go on from; arguments and errors as there. Nothing is made or changed."""
    wanted = _wanted(snapshot, options, _withdrawn(snapshot, store))
    if (made := find_newest(store, options.name, wanted)) is not None:
        return Standing(made.ref)
    records = _scratch(workdir, options, wanted) / "dataset" / Path(shard_name(0)).parent
    shards = [path for path in records.glob("*") if not path.name.startswith(".")]
    return Standing(None, len(shards), SHARD_ROWS)


def _scratch(workdir: Path, options: PrepareOptions, wanted: JsonDict) -> Path:
    return workdir / f"{STEP}-{options.name}-{digest_of(wanted)[:DIGEST_LENGTH]}"


def latest_dataset(store: Store, name: str) -> DatasetRef:
    """Return the newest complete dataset called ``name``.

    Raises:
        ArtifactNotFound: There is none; the message says how to make it.
    """
    newest = find_newest(store, name)
    if newest is None:
        raise ArtifactNotFound(
            f"expected a dataset called {name!r} in {store.url}, found none; run the flow 'prepare' or 'pipeline' "
            "with this name first",
            key=f"datasets/{name}",
        )
    return newest.ref


@dataclass(frozen=True, slots=True)
class _Tables:
    """What is written beside the records."""

    manifest: pd.DataFrame
    splits: pd.DataFrame
    duplicates: pd.DataFrame
    history: pd.DataFrame

    def test_ids(self) -> list[str]:
        return list(self.splits.loc[self.splits["split"] == "test", "isic_id"])


def _withdrawn(snapshot: SnapshotRef, store: Store) -> frozenset[str]:
    """Return the snapshot's images that the archive withdrew; its table is read only if there are any at all."""
    withdrawn = withdrawn_ids(store)
    return withdrawn & frozenset(read_images(store, snapshot)["isic_id"]) if withdrawn else withdrawn


def _wanted(snapshot: SnapshotRef, options: PrepareOptions, withdrawn: frozenset[str]) -> JsonDict:
    return {
        "step": STEP,
        "step_version": STEP_VERSION,
        "snapshot": {"id": snapshot.id, "sha256": snapshot.sha256},
        "options": options.model_dump(mode="json"),
        "preprocessing": _preprocessing(options).model_dump(mode="json"),
        "withdrawn": digest_of_ids(withdrawn),
        **key_of_later(),
    }


def _preprocessing(options: PrepareOptions) -> Preprocessing:
    return Preprocessing(size_px=options.size_px, colour_constancy=options.colour_constancy)


def _make(
    snapshot: SnapshotRef,
    options: PrepareOptions,
    store: Store,
    wanted: JsonDict,
    withdrawn: frozenset[str],
    place: Path,
    on_progress: ProgressCallback,
) -> DatasetRef:
    images = _usable_images(store, snapshot, withdrawn, options)
    parent = find_newest(store, options.name)
    check_folds(parent, options.n_folds)
    may_grow = not is_frozen(store, options.name, parent, options.test_name)
    folder = place / "dataset"
    thumbnails = write_shards(
        store,
        images,
        _preprocessing(options),
        folder,
        thumbnails_folder=place / "thumbnails",
        on_progress=on_progress,
    )
    duplicates = _near_duplicates(images, thumbnails, on_progress)
    with Tally(on_progress, "groups and splits", 1).part(f"{len(images)} images"):
        tables = _tables(images, duplicates, options, read_split_history(store, parent), may_grow=may_grow)
        check_frozen(store, options.name, options.test_name, tables.test_ids())
    inputs = {**wanted, **descent_of(parent)}
    if options.test_only:
        _keep_origin(store, snapshot, folder)
    _write(tables, folder, inputs, withdrawn, options, on_progress)
    key = dataset_key(options.name, digest_of(inputs))
    index, sha256 = publish(
        store,
        key,
        folder,
        step=STEP,
        step_version=STEP_VERSION,
        inputs=inputs,
        summary={
            "n_images": len(images),
            "n_groups": tables.manifest["group"].nunique(),
            "size_px": options.size_px,
            "colour_constancy": options.colour_constancy,
            "licence": max(images["licence"], key=LICENCE_ORDER.index),
            "synthetic": bool(images["is_synthetic"].any()),
        },
        on_progress=on_progress,
    )
    return ref_from_folder(DatasetRef, key, index, sha256)


def _usable_images(
    store: Store, snapshot: SnapshotRef, withdrawn: frozenset[str], options: PrepareOptions
) -> pd.DataFrame:
    """Return the snapshot's images without the withdrawn ones, if the profile allows them all."""
    images = read_images(store, snapshot)
    kept = images[~images["isic_id"].isin(withdrawn)].reset_index(drop=True)
    if kept.empty:
        raise DataError(
            f"expected images in {snapshot.id}, but the archive withdrew all {len(images)}; ingest again, with a "
            "wider query"
        )
    check_licences(kept, options.profile)
    return kept


def _tables(
    images: pd.DataFrame, duplicates: pd.DataFrame, options: PrepareOptions, history: pd.DataFrame, *, may_grow: bool
) -> _Tables:
    gone = withdrawn_rows(history, images)
    evidence = ["isic_id", *EVIDENCE]
    everyone = pd.concat([images[evidence], gone[evidence]], ignore_index=True)
    groups = group_images(everyone, zip(duplicates["first"], duplicates["second"], strict=True)).to_numpy()
    manifest = images.assign(source=images["attribution"].map(source_of), group=groups[: len(images)])
    group_of_gone = dict(zip(gone["isic_id"], groups[len(images) :], strict=True))
    past = remembered(history, may_grow=may_grow)
    placed = assign_splits(
        manifest,
        options,
        dict(zip(past["isic_id"], past["split"], strict=True)),
        withdrawn=group_of_gone,
        frozen=None if may_grow else frozen_ids(history, options.test_name),
    )
    placed = placed.assign(fold=_folds(manifest, placed, options, history, group_of_gone))
    test_name = placed["split"].map({"test": options.test_name})
    return _Tables(
        manifest=manifest,
        splits=_recorded(manifest, placed),
        duplicates=duplicates,
        history=next_split_history(history, manifest.assign(test_name=test_name, **placed)),
    )


def _folds(
    manifest: pd.DataFrame,
    placed: pd.DataFrame,
    options: PrepareOptions,
    history: pd.DataFrame,
    group_of_gone: dict[str, str],
) -> pd.Series:
    """Return each image's fold; an external test set has none."""
    if options.test_only:
        return pd.Series(NO_FOLD, index=manifest.index, dtype=np.int8, name="fold")
    return assign_folds(
        manifest,
        options.n_folds,
        options.seed,
        past_folds(history),
        withdrawn=group_of_gone,
        tested=set(manifest.loc[placed["split"] == "test", "group"]),
    )


def _near_duplicates(images: pd.DataFrame, thumbnails: np.ndarray, on_progress: ProgressCallback) -> pd.DataFrame:
    """Return the pairs by ``isic_id``; identical bytes are compared once."""
    once = np.flatnonzero(~images["sha256"].duplicated())
    pairs = find_near_duplicates(thumbnails[once], on_progress)
    ids = images["isic_id"].to_numpy()[once]
    for column in ("first", "second"):
        pairs[column] = ids[pairs[column].to_numpy(np.int64)]
    return pairs


def _recorded(manifest: pd.DataFrame, placed: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``splits.parquet``: what training and evaluation need of each image."""
    place = np.arange(len(manifest))
    return pd.DataFrame(
        {
            "isic_id": manifest["isic_id"],
            "group": manifest["group"],
            "split": placed["split"],
            "fold": placed["fold"],
            "class_index": manifest["diagnosis"].map(class_index),
            **{field.input: encoded(field, manifest[field.name]) for field in FIELDS},
            "shard": place // SHARD_ROWS,
            "row": place % SHARD_ROWS,
        }
    )


def _keep_origin(store: Store, snapshot: SnapshotRef, folder: Path) -> None:
    """Copy what an external test set says of itself: its labels, and the images that it left out, by name."""
    for name in (EXTERNAL_NAME, LEFT_OUT_NAME):
        (folder / name).write_bytes(read_file(store, snapshot, name))


def _write(
    tables: _Tables,
    folder: Path,
    inputs: JsonDict,
    withdrawn: frozenset[str],
    options: PrepareOptions,
    on_progress: ProgressCallback,
) -> None:
    write_manifest(tables.manifest, folder / MANIFEST_NAME)
    write_table(tables.splits, SPLITS_SCHEMA, folder / SPLITS_NAME)
    write_table(tables.duplicates, DUPLICATES_SCHEMA, folder / DUPLICATES_NAME)
    write_table(tables.history, SPLIT_HISTORY_SCHEMA, folder / SPLIT_HISTORY_NAME)
    shortcuts: tuple[Shortcut, ...] = ()
    if not options.test_only:  # nothing is learnt from it, so there is no short way to learn it
        borders = border_colours(folder, tables.splits, on_progress)
        shortcuts = audit_shortcuts(
            tables.manifest, tables.splits, borders, seed=options.seed, on_progress=on_progress
        )
    write_certificate(folder, inputs, tables.splits, withdrawn=withdrawn, shortcuts=shortcuts)
