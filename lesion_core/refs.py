"""References: what tasks, flows and jobs hand on instead of data."""

from typing import Literal

from pydantic import Field

from lesion_core.types import ColourConstancy, Licence, Sha256, Slug, StoreKey, Value


class Ref(Value):
    """A pointer to one complete, immutable artifact folder in the store."""

    id: str = Field(description="Readable identity, the key without its first part: 'isic-quick/0f3a9c1d22b4'")
    key: StoreKey = Field(description="Folder in the store that holds the files and index.json")
    sha256: Sha256 = Field(description="Digest of the folder's index.json, which lists every file's digest")

    @property
    def name(self) -> str:
        """The id without its digest: the name that versions are kept under."""
        return self.id.rpartition("/")[0]


class ListingRef(Ref):
    """What an archive says it holds of a source, before any image is transferred: a table in shards."""

    n_listed: int = Field(ge=0, description="Images that the archive lists")
    n_images: int = Field(ge=0, description="Images that are wanted of them")
    n_lost: int = Field(
        ge=0, description="Images that the archive counts, or that were asked for, and are not listed"
    )
    n_shards: int = Field(ge=1, description="Parts that can be fetched one by one")


class ShardRef(Ref):
    """What became of one shard of a listing: the images that arrived, and those that did not."""

    listing: str = Field(description="Id of the listing")
    number: int = Field(ge=0, description="Which of its shards")
    n_arrived: int = Field(ge=0, description="Images that are in the store and decode")
    n_missing: int = Field(ge=0, description="Images that did not arrive usable")
    n_transferred: int = Field(
        default=0, ge=0, description="Images that this run transferred rather than found in the store"
    )
    n_bytes: int = Field(default=0, ge=0, description="Bytes that this run transferred")


class SnapshotRef(Ref):
    """Images and metadata as they were in the archive when they were downloaded."""

    n_images: int = Field(ge=0, description="Images that arrived and decode")
    n_excluded: int = Field(ge=0, description="Images left out, each with its reason in issues.parquet")
    licence: Licence = Field(description="The most restrictive licence of any image")
    synthetic: bool = Field(description="Whether any image is generated rather than photographed")


class DatasetRef(Ref):
    """A certified, recorded dataset: groups, splits and pixels."""

    n_images: int = Field(ge=0)
    n_groups: int = Field(ge=0)
    size_px: int = Field(ge=16, description="Side of the square records in pixels")
    colour_constancy: ColourConstancy = "none"
    licence: Licence
    synthetic: bool


class ModelRef(Ref):
    """An immutable model version."""

    recipe: Slug
    dataset: DatasetRef = Field(description="What it was trained on")
    fold: int | None = Field(
        default=None, ge=0, description="Fold that its training left out for testing; none: the dataset's own splits"
    )
    synthetic: bool = Field(description="Whether it saw generated images")


class ReportRef(Ref):
    """An evaluation of one model on one split of one dataset."""

    model: ModelRef
    dataset: DatasetRef
    split: Literal["validation", "calibration", "test"] = "test"
    balanced_accuracy: float = Field(ge=0, le=1, description="Mean recall of the classes present")
    balanced_accuracy_low: float = Field(ge=0, le=1, description="Lower end of the 95 % group bootstrap interval")
    balanced_accuracy_high: float = Field(ge=0, le=1)
    chance: float = Field(ge=0, le=1, description="1 / number of classes present in the split")
    n_images: int = Field(ge=1)
    external: str = Field(
        default="",
        exclude_if=lambda name: not name,
        description="Name of the external test set; empty: the dataset's own split",
    )


class TrialRef(Ref):
    """A finished trial of a search: trained, scored on validation, its weights not kept."""

    dataset: DatasetRef
    fold: int | None = Field(default=None, ge=0)
    score: float = Field(
        description="Best selection score of its last stage: balanced accuracy on validation, smoothed"
    )
    best_epoch: int = Field(ge=1)
    synthetic: bool = Field(description="Whether it saw generated images")


class StudyRef(Ref):
    """What a search found: every trial, and the best one as a recipe."""

    recipe: Slug = Field(description="Recipe that the search started from")
    dataset: DatasetRef
    fold: int | None = Field(default=None, ge=0)
    n_trials: int = Field(ge=1, description="Trials that ended: complete, pruned and failed")
    n_complete: int = Field(ge=0)
    n_pruned: int = Field(ge=0, description="Given up early because others did better at the same epoch")
    n_failed: int = Field(ge=0)
    base_score: float | None = Field(description="Validation score of the recipe that the search started from")
    best_score: float = Field(description="Validation score of the best trial")
    best_trial: int = Field(ge=0, description="Its number in the study")
