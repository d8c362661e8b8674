"""Mistakes as pictures, by confusion: what the report's page shows, as data of a bounded size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pydantic import Field

from lesion_core.dataset.model_images import ModelImages
from lesion_core.errors import ConfigError
from lesion_core.evaluation.cases.cases import mistakes_of
from lesion_core.evaluation.cases.facts import fact_of, patient_of
from lesion_core.evaluation.cases.harm import HARM_IN_WORDS
from lesion_core.evaluation.cases.licences import credit_of, display_rule
from lesion_core.evaluation.cases.neighbours import Neighbour
from lesion_core.evaluation.cases.thumbnails import NEIGHBOUR_SIDE_PX, Thumbnail, overlay_thumbnail, thumbnail_of
from lesion_core.evaluation.report import PROBABILITY_COLUMNS
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.serving.overlays import scale_of_maps
from lesion_core.serving.predictor import MapKind, Predictor, explain_answer
from lesion_core.types import IsicId, PatientMetadata, Value

LIMIT_BYTES = 4_000_000
MOST_OF_A_CONFUSION = 12
MOST_NEIGHBOURS = 3


class ShownNeighbour(Value):
    """A training image near a case; without a picture where its licence or the archive does not allow one."""

    neighbour: Neighbour
    picture: Thumbnail | None
    credit: str


class ShownMaps(Value):
    """The map of the predicted and of the true class over the image, on one colour scale."""

    kind: MapKind
    predicted: Thumbnail
    true: Thumbnail


class ShownCase(Value):
    """One mistake. The picture is missing where the licence does not allow showing it."""

    isic_id: IsicId
    true: Diagnosis
    predicted: Diagnosis
    probabilities: tuple[float, ...] = Field(description="In CLASS_ORDER")
    p_malignant: float
    metadata: PatientMetadata
    source: str
    confirm_type: str | None
    conformal_set: tuple[Diagnosis, ...] | None = Field(description="None: no sets were made")
    picture: Thumbnail | None
    maps: ShownMaps | None = Field(description="None: no model was given, or there is no picture")
    neighbours: tuple[ShownNeighbour, ...]
    credit: str = Field(description="What must stand beside the picture; may be empty")


class Confusion(Value):
    """The mistakes of one pair of classes."""

    true: Diagnosis
    predicted: Diagnosis
    harm: int = Field(ge=1)
    harm_in_words: str
    n_images: int = Field(ge=1)
    n_groups: int = Field(ge=1)
    cases: tuple[ShownCase, ...] = Field(description="Most confident first")

    @property
    def n_left_out(self) -> int:
        """Images of the confusion that are not shown."""
        return self.n_images - len(self.cases)


class CaseGallery(Value):
    """Confusions by harm, then by how many images they have."""

    confusions: tuple[Confusion, ...]
    limit_bytes: int = Field(ge=1, description="The whole gallery as JSON is at most so large")

    @property
    def n_shown(self) -> int:
        """Images that are shown."""
        return sum(len(one.cases) for one in self.confusions)

    @property
    def n_images(self) -> int:
        """Misclassified images in all."""
        return sum(one.n_images for one in self.confusions)

    def in_words(self) -> str:
        """Say how many of the mistakes are shown, and why not all."""
        if self.n_shown == self.n_images:
            return f"All {self.n_images:,} misclassified images are shown."
        return (
            f"{self.n_shown:,} of {self.n_images:,} misclassified images are shown: at most "
            f"{MOST_OF_A_CONFUSION} of a confusion, and at most {self.limit_bytes / 1e6:g} MB in all."
        )


@dataclass(frozen=True, slots=True)
class GallerySources:
    """Where a gallery's pictures come from.

    Attributes:
        images: The dataset's images as the model sees them.
        rows: Rows of the dataset, of the cases and of their neighbours.
        facts: As ``facts.read_facts`` returns it.
        predictor: The model, for the maps; ``None``: no maps.
        neighbours: Nearest training images of each case, by isic_id.
    """

    images: ModelImages
    rows: pd.DataFrame
    facts: pd.DataFrame
    predictor: Predictor | None = None
    neighbours: Mapping[str, Sequence[Neighbour]] = field(default_factory=dict)


def build_gallery(
    cases: pd.DataFrame, sources: GallerySources, *, limit_bytes: int = LIMIT_BYTES, most: int = MOST_OF_A_CONFUSION
) -> CaseGallery:
    """Return the gallery of the mistakes in a case table.

    It is filled in turns, one case of each confusion in the order of harm, so that a frequent confusion does not
    take the room of the others; it ends with the first case that does not fit.

    Args:
        cases: As ``cases.table_of_cases`` makes it.
        sources: Where pictures come from.
        limit_bytes: Of the gallery as JSON.
        most: Cases of one confusion.

    Raises:
        ConfigError: The limit does not even hold the list of confusions.
        ArtifactNotFound: An image is no longer in the archive.
        ArtifactCorrupt: An image is not what the dataset was made from.
    """
    tables = _by_confusion(mistakes_of(cases))
    frames = [_confusion(table, ()) for table in tables]
    empty = CaseGallery(confusions=tuple(frames), limit_bytes=limit_bytes)
    room = limit_bytes - len(empty.model_dump_json().encode())
    if room < 0:
        raise ConfigError(
            f"expected a limit that holds {len(frames)} confusions, {limit_bytes - room} bytes, got {limit_bytes}; "
            "raise the limit"
        )
    shown: list[list[ShownCase]] = [[] for _ in tables]
    for place, row in _in_turns(tables, most):
        case = _show(row, sources)
        room -= len(case.model_dump_json().encode()) + 1  # and a comma
        if room < 0:
            break
        shown[place].append(case)
    return CaseGallery(
        confusions=tuple(_confusion(table, taken) for table, taken in zip(tables, shown, strict=True)),
        limit_bytes=limit_bytes,
    )


def _by_confusion(mistakes: pd.DataFrame) -> list[pd.DataFrame]:
    tables = [table for _, table in mistakes.groupby(["true", "predicted"], sort=False)]
    return sorted(
        tables,
        key=lambda table: (table["harm"].iloc[0], -len(table), table["true"].iloc[0], table["predicted"].iloc[0]),
    )


def _in_turns(tables: Sequence[pd.DataFrame], most: int) -> Iterator[tuple[int, pd.Series]]:
    for turn in range(most):
        yield from ((place, table.iloc[turn]) for place, table in enumerate(tables) if turn < len(table))


def _confusion(table: pd.DataFrame, cases: Sequence[ShownCase]) -> Confusion:
    first = table.iloc[0]
    return Confusion(
        true=first["true"],
        predicted=first["predicted"],
        harm=int(first["harm"]),
        harm_in_words=HARM_IN_WORDS[int(first["harm"])],
        n_images=len(table),
        n_groups=table["group"].nunique(),
        cases=tuple(cases),
    )


def _show(row: pd.Series, sources: GallerySources) -> ShownCase:
    fact, isic_id = fact_of(sources.facts, row["isic_id"]), str(row["isic_id"])
    pixels = _pixels(isic_id, sources)
    classes = row["conformal_set"]
    near = list(sources.neighbours.get(isic_id, ()))[:MOST_NEIGHBOURS]
    return ShownCase(
        isic_id=isic_id,
        true=row["true"],
        predicted=row["predicted"],
        probabilities=tuple(round(float(row[name]), 4) for name in PROBABILITY_COLUMNS),
        p_malignant=float(row["p_malignant"]),
        metadata=patient_of(fact),
        source=fact["source"],
        confirm_type=None if pd.isna(fact["confirm_type"]) else fact["confirm_type"],
        conformal_set=None if pd.isna(classes) else tuple(Diagnosis(name) for name in classes.split()),
        picture=None if pixels is None else thumbnail_of(pixels),
        maps=None if pixels is None else _maps(row, pixels, patient_of(fact), sources.predictor),
        neighbours=tuple(_show_neighbour(one, sources) for one in near),
        credit=credit_of(fact["licence"], fact["attribution"]),
    )


def _maps(
    row: pd.Series, pixels: np.ndarray, metadata: PatientMetadata, predictor: Predictor | None
) -> ShownMaps | None:
    if predictor is None:
        return None
    answer = explain_answer(predictor, pixels, metadata)
    scale = scale_of_maps(answer.maps)
    predicted, true = (
        overlay_thumbnail(pixels, answer.maps[..., CLASS_ORDER.index(row[name])], scale)
        for name in ("predicted", "true")
    )
    return ShownMaps(kind=answer.map_kind, predicted=predicted, true=true)


def _show_neighbour(one: Neighbour, sources: GallerySources) -> ShownNeighbour:
    fact, pixels = fact_of(sources.facts, one.isic_id), _pixels(one.isic_id, sources)
    picture = None if pixels is None else thumbnail_of(pixels, side_px=NEIGHBOUR_SIDE_PX)
    return ShownNeighbour(neighbour=one, picture=picture, credit=credit_of(fact["licence"], fact["attribution"]))


def _pixels(isic_id: str, sources: GallerySources) -> np.ndarray | None:
    """Return an image as the model sees it, or ``None`` where its licence does not allow showing it."""
    if not display_rule(fact_of(sources.facts, isic_id)["licence"]).is_shown:
        return None
    found: np.ndarray = sources.images.pixels(sources.rows[sources.rows["isic_id"] == isic_id])[0]
    return found
