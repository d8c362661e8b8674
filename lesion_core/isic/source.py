"""Which images of which archive are wanted."""

from typing import Literal, get_args

from pydantic import Field

from lesion_core.archive_fields import AGE, DIAGNOSIS
from lesion_core.labels import N_CLASSES, N_CLASSES_IN_WORDS, Diagnosis
from lesion_core.types import LICENCE_ORDER, IsicId, Licence, Value

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


class ArchiveSource(Value):
    """Which images of an ISIC archive (or of a mirror of it) are wanted."""

    url: str = Field(
        default="",
        description="Base address of the archive's v2 API or of a mirror; empty: the deployment's own",
        json_schema_extra={"position": 0},
    )
    query: str | None = Field(
        default=None,
        description=f'Archive query, e.g. {DIAGNOSIS[2]}:"Basal cell carcinoma" AND {AGE}:[20 TO 40]',
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
        default=(),
        description=f"Only images of these classes; empty: all {N_CLASSES_IN_WORDS}",
        json_schema_extra={"position": 10},
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
        ge=N_CLASSES,
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
