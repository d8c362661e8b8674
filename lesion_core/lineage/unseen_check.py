"""What the models that a training builds on have seen, against what the training must not have learnt from.

A model to start from and a teacher hand on what they know of their own training images. Where such an image, or one
of its group, is in this training's validation, calibration or test split, every number made there is flattered.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lesion_core.dataset.manifest import MANIFEST_NAME
from lesion_core.dataset.records import SPLITS_NAME, OpenDataset
from lesion_core.dataset.splitting.folds import splits_of_fold
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError, LeakageError
from lesion_core.lineage.exposure import MADE_FROM, lineage_of
from lesion_core.parquet import read_frame
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import ModelRef
from lesion_core.serving.model_folder import ModelFolder
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import get_reference

_EVIDENCE = ("isic_id", "sha256", "lesion_id", "patient_id")  # two images that share one belong together
_NETWORK = ("backbone", "fusion", "size_px")  # fields of a recipe that decide the shapes of the weights
# Which images of a parent model may not be in which split of this training. What chose or calibrated it taught it
# little, and may choose and calibrate again; a test must be new to everything that went into the model.
_FORBIDDEN = {"validation": ("train",), "calibration": ("train",), "test": MADE_FROM}


def get_version(store: Store, model_id: str, sha256: str | None, *, role: str) -> ModelRef:
    """Return the model version that a job builds on.

    Args:
        store: Where it lies.
        model_id: Its id.
        sha256: Digest of its index when the job was made.
        role: What it is in the job, for the message.

    Raises:
        ArtifactNotFound: It is not in the store.
        ArtifactCorrupt: It was published anew since.
    """
    ref = get_reference(store, ModelRef, "models", model_id)
    if ref.sha256 != sha256:
        raise ArtifactCorrupt(
            f"expected {role} {ref.id} to be the version {sha256}, got {ref.sha256}: it was published anew since; "
            "start again",
            key=ref.key,
            expected=sha256,
            actual=ref.sha256,
        )
    return ref


def check_network(recipe: Recipe, base: ModelFolder) -> None:
    """Refuse a model whose network is another than the recipe's, by what its own recipe says.

    Raises:
        ConfigError: They differ in backbone, fusion or size; the message says in what.
    """
    theirs = base.recipe
    wrong = [name for name in _NETWORK if name in theirs and theirs[name] != getattr(recipe, name)]
    if wrong:
        differences = "; ".join(f"{name} {getattr(recipe, name)!r}, got {theirs[name]!r}" for name in wrong)
        raise ConfigError(
            f"expected model {base.model_id} to have the network of recipe {recipe.name!r}: {differences}; use its "
            f"own {', '.join(wrong)}, or train without start_from"
        )


def check_unseen(
    store: Store, models: Iterable[ModelRef], dataset: OpenDataset, fold: int | None, *, role: str
) -> None:
    """Refuse models that were trained on groups of this dataset's validation, calibration or test split.

    The models that they started or learnt from count as well. Images of different datasets belong together where they
    share id, bytes, lesion or patient, or are joined to such an image by either dataset's groups.

    Args:
        store: Where models and datasets lie.
        models: What this training builds on.
        dataset: This training's, with the splits that it uses.
        fold: The fold whose splits those are, if any.
        role: What the models are here, for the message: 'teacher', 'model to start from'.

    Raises:
        LeakageError: They have seen such groups; the message counts them, ``seen`` holds the counts by split.
        ArtifactNotFound: A model or dataset that went into them is stored no more, so that nobody can tell.
    """
    for model in models:
        lineage, unknown = lineage_of(store, model)
        if unknown:
            raise _unknown(role, model, unknown[0], f"models/{unknown[0]}")
        for each in lineage:
            if (each.dataset.sha256, each.fold) != (dataset.ref.sha256, fold):  # else its certificate excludes it
                _check_one(store, model, each, dataset, role)


def count_seen_groups(members: pd.DataFrame, own: pd.DataFrame) -> dict[str, int]:
    """Return how many groups of each guarded split a model has seen, by split.

    Args:
        members: The images of the dataset that the model was trained on: ``isic_id``, ``sha256``, ``lesion_id``,
            ``patient_id`` (the last two may be missing), ``group`` and the model's ``split``.
        own: The same of the dataset in question, with its own splits.
    """
    return {split: len(_groups_of(own, split) & _met(members, own, used)) for split, used in _FORBIDDEN.items()}


def _groups_of(rows: pd.DataFrame, split: str) -> set[str]:
    return set(rows.loc[rows["split"] == split, "group"])


def _met(members: pd.DataFrame, own: pd.DataFrame, used: tuple[str, ...]) -> set[str]:
    """Return the groups of ``own`` that hold an image which belongs to a group with images in ``used``."""
    learnt = members["group"].isin(members.loc[members["split"].isin(used), "group"])
    met = pd.Series(False, index=own.index)
    for name in _EVIDENCE:
        met |= own[name].isin(members.loc[learnt, name].dropna())
    return set(own.loc[met, "group"])


def _check_one(store: Store, model: ModelRef, each: ModelRef, dataset: OpenDataset, role: str) -> None:
    try:
        members = _read_image_list(store, each)
    except ArtifactNotFound as error:
        raise _unknown(role, model, each.dataset.id, each.dataset.key) from error
    seen = count_seen_groups(members, _with_evidence(dataset.rows, dataset.folder / MANIFEST_NAME))
    if not any(seen.values()):
        return
    counts = ", ".join(f"{n:,} groups of the {split} split" for split, n in seen.items() if n)
    by_way_of = "" if each.id == model.id else f" by way of {each.id}"
    raise LeakageError(
        f"expected a {role} that has not seen the validation, calibration and test images of {dataset.ref.id}, but "
        f"{model.id} has seen {counts}{by_way_of}; take a {role} trained on the same splits (and the same fold) of "
        "this dataset, or on images that are not in it",
        model=model.id,
        seen=seen,
    )


def _read_image_list(store: Store, model: ModelRef) -> pd.DataFrame:
    """Return the images of a model's dataset with the splits that the model had."""
    rows = read_frame(read_file(store, model.dataset, SPLITS_NAME))
    if model.fold is not None:
        rows = rows.assign(split=splits_of_fold(rows, model.fold))
    return _with_evidence(rows, read_file(store, model.dataset, MANIFEST_NAME))


def _with_evidence(rows: pd.DataFrame, manifest: Path | bytes) -> pd.DataFrame:
    """Return group and split of each image with what may join it to others."""
    evidence = read_frame(manifest, columns=list(_EVIDENCE))
    return rows[["isic_id", "group", "split"]].merge(evidence, on="isic_id", validate="1:1")


def _unknown(role: str, model: ModelRef, missing: str, key: str) -> ArtifactNotFound:
    return ArtifactNotFound(
        f"expected everything that {role} {model.id} was made from, to tell which images it has seen, found no "
        f"{missing} in the store; restore it, or take another {role}",
        key=key,
    )
