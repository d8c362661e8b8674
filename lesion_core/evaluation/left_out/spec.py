"""What a training without a class or a source is called, and what is asked of its model."""

import re

from pydantic import Field

from lesion_core.dataset.options import PrepareOptions
from lesion_core.errors import ConfigError
from lesion_core.keys import digest_of, source_shift_key, unknown_class_key
from lesion_core.labels import Diagnosis
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef, Ref, ReportRef
from lesion_core.types import JsonDict, StoreKey, Value

UNKNOWN_CLASS_STEP, SOURCE_SHIFT_STEP, STEP_VERSION = "unknown-class", "source-shift", 1
METRICS_NAME, SUMMARY_NAME = "metrics.json", "summary.md"
_LONGEST = 63  # characters of a name
_SUFFIX = 8


class UnknownClassJob(Value):
    """Measure how a model treats images of a class that its training left out."""

    model: ModelRef
    dataset: DatasetRef = Field(description="Made with leave_out_class; what the model was trained on")
    diagnosis: Diagnosis = Field(description="The class that was left out")
    n_reference: int = Field(
        default=2000, ge=10, le=100_000, description="Training images that embeddings are compared with, at most"
    )
    n_bootstrap: int = Field(default=1000, ge=100, le=100_000, description="Group resamples of the intervals")
    seed: int = Field(default=7, ge=0)


class UnknownClassRef(Ref):
    """How a model treats images of a class that its training left out."""

    model: ModelRef
    diagnosis: Diagnosis
    best_score: str = Field(description="Score with the highest AUROC")
    best_auroc: float = Field(ge=0, le=1)
    synthetic: bool = Field(description="Whether generated images are in it")


class SourceShiftJob(Value):
    """Hold a model's scores on sources that it knows against those on the one that its training left out."""

    internal: ReportRef = Field(description="On the calibration split: images of the other sources")
    elsewhere: ReportRef = Field(description="On the test split: the source that was left out")
    source: str = Field(min_length=1, description="The source, as the manifest names it")
    n_bootstrap: int = Field(default=1000, ge=100, le=100_000, description="Group resamples of the intervals")
    seed: int = Field(default=7, ge=0)


class SourceShiftRef(Ref):
    """How a model does on a source that it never saw, against those that it knows."""

    model: ModelRef
    source: str
    internal: float = Field(ge=0, le=1, description="Balanced accuracy over the shared classes, on known sources")
    elsewhere: float = Field(ge=0, le=1, description="The same on the source that was left out")
    synthetic: bool = Field(description="Whether generated images are in it")


def without(recipe: Recipe, options: PrepareOptions, left_out: Diagnosis | str) -> tuple[Recipe, PrepareOptions]:
    """Return a recipe and the options of its dataset for a training without a class, or without a source.

    Both get a name of their own, so that neither the splits nor the versions of the recipe are touched.

    Args:
        recipe: How to train.
        options: How the dataset is made; its name, size and colour constancy follow the recipe.
        left_out: A class, or a source as the manifest names it.

    Raises:
        ConfigError: The name of a source is empty.
    """
    if not left_out.strip():
        raise ConfigError("expected the name of a source to leave out, got none; the data report lists the sources")
    dataset, name = (_named(base, left_out) for base in (recipe.dataset, recipe.name))
    is_class = isinstance(left_out, Diagnosis)
    changes = {
        "leave_out_class": left_out if is_class else None,
        "leave_out_source": "" if is_class else left_out,
        "test_only": False,
    }
    made = options.for_recipe(dataset, recipe.size_px, recipe.colour_constancy).model_copy(update=changes)
    return recipe.model_copy(update={"name": name, "dataset": dataset, "allow_absent_classes": True}), made


def unknown_class_inputs(job: UnknownClassJob) -> JsonDict:
    """Return everything that the measurement depends on, JSON-serialisable."""
    return _inputs(job, model=job.model.sha256, dataset=job.dataset.sha256)


def unknown_class_key_of(job: UnknownClassJob) -> StoreKey:
    """Return the folder of what ``job`` measures."""
    return unknown_class_key(job.model.id, digest_of(unknown_class_inputs(job)))


def source_shift_inputs(job: SourceShiftJob) -> JsonDict:
    """Return everything that the measurement depends on, JSON-serialisable."""
    return _inputs(job, internal=job.internal.sha256, elsewhere=job.elsewhere.sha256)


def source_shift_key_of(job: SourceShiftJob) -> StoreKey:
    """Return the folder of what ``job`` measures."""
    return source_shift_key(job.internal.model.id, digest_of(source_shift_inputs(job)))


def _inputs(job: Value, **digests: str) -> JsonDict:
    return {**job.model_dump(mode="json", exclude=set(digests)), **digests, "step_version": STEP_VERSION}


def _named(base: str, left_out: str) -> str:
    """Return 'isic-without-ak'; of a long name the beginning, with a digest of all of it."""
    plain = re.sub(r"[^a-z0-9]+", "-", left_out.casefold()).strip("-")
    name = f"{base}-without-{plain}".rstrip("-")
    if len(name) <= _LONGEST and plain == left_out.casefold():
        return name
    return f"{name[: _LONGEST - _SUFFIX - 1].rstrip('-')}-{digest_of(left_out)[:_SUFFIX]}"
