"""What the archive's API answers, typed; keys it adds over time are kept, keys it leaves out stay absent."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lesion_core import archive_fields
from lesion_core.types import IsicId, JsonDict


class ApiValue(BaseModel):
    """Base of every answer: immutable, and tolerant of keys that are new."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class FileLink(ApiValue):
    """Where one file of an image is.

    ``size`` is what the archive noted before it added metadata to the file: it is not the length of what
    ``url`` serves, and nothing may be checked against it.
    """

    url: str
    size: int = Field(ge=0, description="Bytes, as noted by the archive; indicative only")


class Files(ApiValue):
    """The files of one image."""

    full: FileLink
    thumbnail_256: FileLink | None = None


class ImageMetadata(ApiValue):
    """What the archive knows of an image; decimals are strings, flags are booleans, counts are integers."""

    acquisition: JsonDict = Field(default_factory=dict)
    clinical: JsonDict = Field(default_factory=dict)


class ImageOut(ApiValue):
    """One image as ``images/search/`` lists it."""

    isic_id: IsicId = Field(validation_alias=archive_fields.IMAGE_ID)
    public: bool = Field(default=True, validation_alias=archive_fields.PUBLIC)
    copyright_license: str = Field(validation_alias=archive_fields.LICENCE)
    attribution: str = Field(default="", validation_alias=archive_fields.ATTRIBUTION)
    files: Files
    metadata: ImageMetadata = Field(default_factory=ImageMetadata)

    def facts(self) -> JsonDict:
        """Return acquisition and clinical metadata as one flat mapping; a null counts as absent."""
        both = {**self.metadata.acquisition, **self.metadata.clinical}
        return {name: value for name, value in both.items() if value is not None}


class CollectionOut(ApiValue):
    """One collection; the archive does not say how many images it holds."""

    id: int
    name: str
    description: str = ""
    public: bool = True
    pinned: bool = False
    locked: bool = False
    doi: str | None = None
    doi_url: str | None = None


class Page(ApiValue):
    """One page of a listing; ``results`` are parsed one by one, so that an error can name its row."""

    results: list[dict[str, Any]]
    count: int | None = Field(default=None, ge=0, description="All matches; given on the first page only")
    next: str | None = None
    previous: str | None = None


class SearchSize(ApiValue):
    """Sum of the noted sizes of all matches, bytes; indicative only (see ``FileLink``)."""

    size: int = Field(ge=0)
