"""Small frozen values that cross a process, network or form boundary: references, not data."""

import logging
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lesion_core.labels import Diagnosis, Sex, Site

log = logging.getLogger(__name__)


def is_none(choice: str) -> bool:
    """Whether a choice is 'none': such a field is left out of what is written and hashed."""
    return choice == "none"


class Value(BaseModel):
    """Base of every value that crosses a boundary: immutable, and strict about field names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _relative_key(value: str) -> str:
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts or "\\" in value or value != str(path):
        raise ValueError(f"expected a relative store key such as 'models/isic/0123456789ab', got {value!r}")
    return value


StoreKey = Annotated[str, AfterValidator(_relative_key)]  # models/isic-quick/0f3a9c1d22b4
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]  # isic-quick
ISIC_ID = re.compile(r"ISIC_[0-9]{7}")
IsicId = Annotated[str, Field(pattern=rf"^{ISIC_ID.pattern}$")]  # ISIC_0024306
ColourConstancy = Literal["none", "shades-of-gray"]
Licence = Literal["CC-0", "CC-BY", "CC-BY-NC"]
LicenceProfile = Literal["permissive", "research-nc"]
ImageType = Literal[
    "dermoscopic",
    "clinical: overview",
    "clinical: close-up",
    "TBP tile: close-up",
    "TBP tile: overview",
    "RCM: macroscopic",
    "RCM: tile",
    "RCM: mosaic",
    "not stated",
]

# The archive's words for what an image is (isic-metadata 5, ``image_type``), and one where it does not say.
IMAGE_TYPES: tuple[ImageType, ...] = get_args(ImageType)
# Most permissive first; a set is as restricted as its most restricted row.
LICENCE_ORDER: tuple[Licence, ...] = ("CC-0", "CC-BY", "CC-BY-NC")
# What each profile allows: any use with attribution, or non-commercial research only.
LICENCE_PROFILES: dict[LicenceProfile, tuple[Licence, ...]] = {
    "permissive": ("CC-0", "CC-BY"),
    "research-nc": LICENCE_ORDER,
}


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
    n_trials: int = Field(ge=1, description="Trials that were told: complete, pruned and failed")
    n_complete: int = Field(ge=0)
    n_pruned: int = Field(ge=0, description="Given up early because others did better at the same epoch")
    n_failed: int = Field(ge=0)
    base_score: float | None = Field(description="Validation score of the recipe that the search started from")
    best_score: float = Field(description="Validation score of the best trial")
    best_trial: int = Field(ge=0, description="Its number in the study")


class GateCheck(Value):
    """One condition of the gate and how it came out."""

    name: str
    passed: bool
    detail: str = Field(description="The numbers compared, in words")


class GateDecision(Value):
    """What the gate found for one report; a value, never an exception."""

    model: ModelRef
    report_id: str
    passed: bool
    checks: tuple[GateCheck, ...]
    compared_with: str | None = Field(
        default=None, description="Model id of the approved version it was compared with"
    )


class ArchiveSource(Value):
    """Which images of an ISIC archive (or of a mirror of it) are wanted."""

    url: str = Field(
        default="",
        description="Base address of the archive's v2 API or of a mirror; empty: the deployment's own",
        json_schema_extra={"position": 0},
    )
    query: str | None = Field(
        default=None,
        description='Archive query, e.g. diagnosis_3:"Basal cell carcinoma" AND age_approx:[20 TO 40]',
        json_schema_extra={"position": 1},
    )
    collections: tuple[int, ...] = Field(
        default=(),
        description="Collection numbers, united; 65 is ISIC 2019 training",
        json_schema_extra={"position": 2},
    )
    ids: tuple[IsicId, ...] = Field(
        default=(), description="Exactly these images; empty: all that match", json_schema_extra={"position": 9}
    )
    classes: tuple[Diagnosis, ...] = Field(
        default=(), description="Only images of these classes; empty: all eight", json_schema_extra={"position": 10}
    )
    listing: Literal["auto", "bulk", "pages"] = Field(
        default="auto",
        description="How the archive is read: in one request, page by page, or 'auto': pages where bulk is refused",
        json_schema_extra={"position": 11},
    )
    revalidate: bool = Field(
        default=False,
        description="Ask for every stored image again by its ETag; only what changed is transferred",
        json_schema_extra={"position": 12},
    )
    limit: int | None = Field(
        default=None,
        ge=8,
        description="Draw a seeded, class-stratified sample of about this many images, in whole lesions",
        json_schema_extra={"position": 3},
    )
    seed: int = Field(default=7, ge=0, description="Seed of the sample", json_schema_extra={"position": 4})
    licences: tuple[Licence, ...] = Field(
        default=LICENCE_ORDER, min_length=1, description="Accepted licences", json_schema_extra={"position": 5}
    )
    image_types: tuple[ImageType, ...] = Field(
        default=("dermoscopic", "not stated"),
        min_length=1,
        description="Accepted kinds of image; the models are made for dermoscopic ones",
        json_schema_extra={"position": 6},
    )
    tolerance: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the wanted images that may fail to arrive before the run fails",
        json_schema_extra={"position": 7},
    )
    connections: int = Field(
        default=10, ge=1, le=64, description="Downloads at a time", json_schema_extra={"position": 8}
    )

    def with_connections(self, connections: int) -> "ArchiveSource":
        """Return this source with so many connections, at least one."""
        return self.model_copy(update={"connections": max(1, connections)})

    def at(self, default_url: str) -> "ArchiveSource":
        """Return this source with its address filled in where it was left empty."""
        return self if self.url else self.model_copy(update={"url": default_url})


class PrepareOptions(Value):
    """How a snapshot becomes a dataset."""

    name: Slug = Field(default="isic", description="Name of the dataset; its splits are stable under this name")
    size_px: int = Field(default=128, ge=32, le=600, description="Side of the square records in pixels")
    colour_constancy: ColourConstancy = Field(
        default="none",
        exclude_if=is_none,  # so that datasets made without it keep their names
        description="'shades-of-gray' takes the colour of the lamp out of the records",
    )
    validation: float = Field(
        default=0.12, gt=0, lt=0.5, description="Share of images for choosing epochs and recipes"
    )
    calibration: float = Field(default=0.10, gt=0, lt=0.5, description="Share of images for calibration only")
    test: float = Field(default=0.20, gt=0, lt=0.5, description="Share of images for the final report only")
    seed: int = Field(default=7, ge=0)
    n_folds: int = Field(
        default=5, ge=3, le=10, description="Folds for cross-validation, besides the four splits; whole groups too"
    )
    test_name: Slug = Field(
        default="test-1",
        description="Name of the test split: under one name it never gains a picture; a new name lets it grow",
    )
    profile: LicenceProfile = Field(
        default="research-nc",
        description="Licences that a dataset may hold: permissive (CC-0, CC-BY), or research-nc (also CC-BY-NC)",
    )

    def for_recipe(self, dataset: str, size_px: int, colour_constancy: ColourConstancy) -> "PrepareOptions":
        """Return these options under the name, size and colour constancy that a recipe asks for."""
        return self.model_copy(update={"name": dataset, "size_px": size_px, "colour_constancy": colour_constancy})


class PatientMetadata(Value):
    """What the clinician knows besides the image; ``None`` means unknown."""

    age_years: float | None = Field(default=None, ge=0, le=120)
    sex: Sex | None = None
    site: Site | None = None


class Progress(Value):
    """One line of news from a running step."""

    stage: str = Field(description="'download', 'records', 'epoch', 'evaluate' …")
    done: int = Field(ge=0)
    total: int | None = Field(default=None, ge=0)
    message: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)


ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Accept a progress report and do nothing with it."""


def told_if_possible(on_progress: ProgressCallback) -> ProgressCallback:
    """Return a callback that hands reports on and logs where that fails: work does not end with who watches it."""

    def tell(progress: Progress) -> None:
        try:
            on_progress(progress)
        except Exception as error:  # whatever a screen, a server or a network may raise
            log.warning("progress of %s could not be told: %s", progress.stage, error)

    return tell


JsonDict = dict[str, Any]
