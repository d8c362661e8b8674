"""Which training images a model takes for like an image: nearest by the cosine of their embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from lesion_core.dataset.model_images import ModelImages
from lesion_core.errors import DataError
from lesion_core.fields.columns import metadata_inputs
from lesion_core.labels import CLASS_ORDER, N_CLASSES, Diagnosis
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.serving.predictor import Predictor
from lesion_core.statistics.intervals import group_codes, strata_of
from lesion_core.types import IsicId, Value

STAGE = "nearest training images"
N_NEIGHBOURS = 5
MOST_TRAINING_IMAGES = 4000
_AT_A_TIME = 32
_QUERIES_AT_A_TIME = 256


class Neighbour(Value):
    """A training image near another image."""

    isic_id: IsicId
    diagnosis: Diagnosis
    similarity: float = Field(ge=-1.0001, le=1.0001, description="Cosine of the two embeddings")

    def in_words(self) -> str:
        """Return 'ISIC_0000001 MEL 0.93'."""
        return f"{self.isic_id} {self.diagnosis} {self.similarity:.2f}"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Images as a model's last features see them.

    Attributes:
        vectors: float32 (n, d).
        isic_ids: str (n,).
        groups: str (n,).
        digests: str (n,), SHA-256 of each file.
        class_index: int (n,).
    """

    vectors: np.ndarray
    isic_ids: np.ndarray
    groups: np.ndarray
    digests: np.ndarray
    class_index: np.ndarray


def sample_of_training(rows: pd.DataFrame, *, most: int = MOST_TRAINING_IMAGES, seed: int = 7) -> pd.DataFrame:
    """Return at most ``most`` rows: whole groups, drawn class by class, in the rows' own order.

    Half of the places are shared equally by the classes, as far as a class has images; the rest go by what is left of
    each. So rare classes are there, and frequent ones have more. A group counts for the rarest class of its images.

    Args:
        rows: isic_id, group and class_index of the training images.
        most: Images in all.
        seed: Same seed and rows, same sample.
    """
    if len(rows) <= most:
        return rows
    codes = group_codes(rows["group"].astype(str).to_numpy(dtype=str))
    classes = strata_of(rows["class_index"].to_numpy(np.int64), codes)
    sizes = np.bincount(codes)
    quota = _quota(np.bincount(classes, sizes, minlength=N_CLASSES).astype(np.int64), most)
    chosen = np.zeros(len(sizes), bool)
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        if sizes[group] <= quota[classes[group]]:
            chosen[group] = True
            quota[classes[group]] -= sizes[group]
    return rows[chosen[codes]]


def _quota(counts: np.ndarray, most: int) -> np.ndarray:
    """Return how many images of each class are taken, int (k,), of ``counts`` that sum to more than ``most``."""
    equal = np.minimum(counts, most // (2 * int((counts > 0).sum())))
    rest = counts - equal
    return equal + (rest * (most - equal.sum()) // rest.sum())


def embed(
    predictor: Predictor,
    images: ModelImages,
    rows: pd.DataFrame,
    facts: pd.DataFrame,
    tally: Tally | None = None,
) -> Embedded:
    """Return the embeddings of images.

    Args:
        predictor: The model.
        images: The dataset's images as this model sees them.
        rows: Rows of the dataset, at least one.
        facts: As ``facts.read_facts`` returns it.
        tally: Counts the images.

    Raises:
        DataError: There are no rows.
    """
    if rows.empty:
        raise DataError("expected images to embed, got none; choose a split that has some")
    counted, parts = tally or Tally(ignore_progress, STAGE, len(rows)), []
    for start in range(0, len(rows), _AT_A_TIME):
        part = rows.iloc[start : start + _AT_A_TIME]
        parts.append(predictor.predict(images.pixels(part), metadata_inputs(part)).embedding)
        counted.add(len(part), "images embedded")
    return _embedded(np.concatenate(parts), rows, facts)


def _embedded(vectors: np.ndarray, rows: pd.DataFrame, facts: pd.DataFrame) -> Embedded:
    return Embedded(
        vectors=vectors.astype(np.float32),
        isic_ids=rows["isic_id"].to_numpy(dtype=str),
        groups=rows["group"].astype(str).to_numpy(dtype=str),
        digests=facts.loc[rows["isic_id"], "sha256"].to_numpy(dtype=str),
        class_index=rows["class_index"].to_numpy(np.int64),
    )


def nearest(queries: Embedded, training: Embedded, *, k: int = N_NEIGHBOURS) -> Mapping[str, tuple[Neighbour, ...]]:
    """Return up to ``k`` nearest training images of each query, nearest first, by the query's isic_id.

    Images of the query's own group and images with the same bytes never count. An embedding without a length (all
    zeros) or with a value that is no number has no neighbours and is nobody's neighbour.

    Args:
        queries: Any images.
        training: Where neighbours are looked for.
        k: How many, at least 1.
    """
    seen, is_usable = _unit(training.vectors)
    asked, is_asked = _unit(queries.vectors)
    found: dict[str, tuple[Neighbour, ...]] = {}
    for start in range(0, len(asked), _QUERIES_AT_A_TIME):
        part = slice(start, start + _QUERIES_AT_A_TIME)
        similar = asked[part] @ seen.T
        barred = (queries.groups[part, None] == training.groups) | (queries.digests[part, None] == training.digests)
        similar[barred | ~is_usable | ~is_asked[part, None]] = -np.inf
        order = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        for row, isic_id in enumerate(queries.isic_ids[part].tolist()):
            places = [place for place in order[row].tolist() if np.isfinite(similar[row, place])]
            found[isic_id] = tuple(_neighbour(training, place, similar[row, place]) for place in places)
    return found


def find_neighbours(
    predictor: Predictor,
    images: ModelImages,
    rows: pd.DataFrame,
    training_rows: pd.DataFrame,
    facts: pd.DataFrame,
    *,
    k: int = N_NEIGHBOURS,
    vectors: np.ndarray | None = None,
    most: int = MOST_TRAINING_IMAGES,
    seed: int = 7,
    on_progress: ProgressCallback = ignore_progress,
) -> Mapping[str, tuple[Neighbour, ...]]:
    """Return the nearest training images of each row, by isic_id: ``sample_of_training``, ``embed`` and ``nearest``.

    Args:
        predictor: The model.
        images: The dataset's images as this model sees them.
        rows: Whose neighbours, at least one.
        training_rows: All training images of the same dataset, at least one.
        facts: As ``facts.read_facts`` returns it.
        k: Neighbours of each.
        vectors: float32 (n, d), embeddings of ``rows`` where they are known; else they are made.
        most: Training images that are looked at.
        seed: Of the sample.
        on_progress: Gets the stage ``STAGE``, image by image of both sets.

    Raises:
        DataError: One of the sets is empty.
    """
    sample = sample_of_training(training_rows, most=most, seed=seed)
    tally = Tally(on_progress, STAGE, len(sample) + (len(rows) if vectors is None else 0))
    training = embed(predictor, images, sample, facts, tally)
    queries = embed(predictor, images, rows, facts, tally) if vectors is None else _embedded(vectors, rows, facts)
    return nearest(queries, training, k=k)


def _unit(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of length 1, float32 (n, d), and which of them there are, bool (n,)."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    usable = np.isfinite(lengths) & (lengths > 0)
    scaled = np.where(usable[:, None], vectors, 0) / np.where(usable, lengths, 1)[:, None]
    return scaled.astype(np.float32), usable


def _neighbour(training: Embedded, place: int, similarity: float) -> Neighbour:
    return Neighbour(
        isic_id=str(training.isic_ids[place]),
        diagnosis=CLASS_ORDER[training.class_index[place]],
        similarity=float(similarity),
    )
