"""What a rerun goes on from, read from the store and the work folder; nothing is guessed, and nothing changed."""

import json
from collections.abc import Iterator
from pathlib import Path

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import Standing, find_standing
from lesion_core.evaluation.output_key import report_key_of
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.isic.listing.listing import scope_of
from lesion_core.isic.listing.selection import filters_of
from lesion_core.isic.source import ArchiveSource
from lesion_core.keys import canonical_json
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef, ReportRef, SnapshotRef
from lesion_core.stores.folders import FolderIndex, list_folders
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference, ref_from_folder
from lesion_core.training.output_key import training_key
from lesion_core.training.resuming import find_resume_point
from lesion_core.training.spec import TrainJob
from lesion_core.types import JsonDict


def find_continuation(source: ArchiveSource, recipe: Recipe, store: Store, work: Path) -> str:
    """Return in words what a pipeline of ``recipe`` on ``source`` finds done already; empty on a first run.

    Args:
        source: Which images.
        recipe: What is trained.
        store: Where outputs are.
        work: Scratch folder of the worker, with the records and the checkpoints of what was interrupted.

    Raises:
        StoreError: The store cannot be read.
    """
    return "; ".join(_parts(source, recipe, store, work))


def _parts(source: ArchiveSource, recipe: Recipe, store: Store, work: Path) -> Iterator[str]:
    snapshot = _snapshot(source, recipe.dataset, store)
    if snapshot is None:
        yield from _transferred(source, recipe.dataset, store)
        return
    options = PrepareOptions().for_recipe(recipe.dataset, recipe.size_px, recipe.colour_constancy)
    standing = find_standing(snapshot, options, store, work)
    if standing.dataset is None:
        yield f"the {snapshot.n_images:,} images are in the store"
        yield from _recorded(standing, snapshot)
        return
    yield f"the {snapshot.n_images:,} images and dataset {standing.dataset.id} are in the store"
    yield from _trained(TrainJob(recipe=recipe, dataset=standing.dataset), store, work)


def _snapshot(source: ArchiveSource, name: str, store: Store) -> SnapshotRef | None:
    """Return the newest snapshot that was made by asking an archive for the same."""
    made = [
        (index.created, ref_from_folder(SnapshotRef, key, index, sha256))
        for key, index, sha256 in list_folders(store, f"snapshots/{name}/")
        if _is_of(source, index)
    ]
    return max(made, key=lambda each: each[0], default=(None, None))[1]


def _is_of(source: ArchiveSource, index: FolderIndex) -> bool:
    asked: JsonDict = json.loads(canonical_json({"scope": scope_of(source), **filters_of(source)}))
    return asked.items() <= index.inputs.items()


def _transferred(source: ArchiveSource, name: str, store: Store) -> Iterator[str]:
    if any(_is_of(source, index) for _, index, _ in list_folders(store, f"listings/{name}/")):
        n_images = sum(1 for _ in store.list("archive/"))
        yield f"the archive's list is in the store, images so far: {n_images:,}; only what is missing is asked for"


def _recorded(standing: Standing, snapshot: SnapshotRef) -> Iterator[str]:
    if standing.n_shards:
        n_done = min(standing.n_shards * standing.n_records, snapshot.n_images)
        yield f"records of {n_done:,} of {snapshot.n_images:,} images are made, and preparation goes on from there"


def _trained(job: TrainJob, store: Store, work: Path) -> Iterator[str]:
    model = find_reference(store, ModelRef, training_key(job))
    if model is not None:
        yield from _measured(model, job.dataset, store)
        return
    resume_point = find_resume_point(job, store, work)
    if resume_point is not None:
        yield f"training resumes from the checkpoint at {resume_point.in_words()}"


def _measured(model: ModelRef, dataset: DatasetRef, store: Store) -> Iterator[str]:
    report = find_reference(store, ReportRef, report_key_of(EvaluateJob(model=model, dataset=dataset)))
    yield f"model {model.id} is trained{'' if report is None else ' and evaluated'}"
