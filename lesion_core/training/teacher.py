"""A teacher's answers to the training images: asked once, kept beside the checkpoints."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.dataset.model_images import ModelImages
from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ConfigError
from lesion_core.fields.columns import metadata_inputs
from lesion_core.labels import N_CLASSES
from lesion_core.lineage.unseen_check import get_version
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.recipes.class_shares import class_counts, prior_of_logits
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import ModelRef
from lesion_core.serving.model_folder import ModelFolder, stated_prior
from lesion_core.serving.predictor import Predictor
from lesion_core.stores.filesystem import translated, write_whole
from lesion_core.stores.folders import materialise
from lesion_core.stores.protocol import Store
from lesion_core.training.distillation import Teaching, prior_shift
from lesion_core.training.spec import Distillation, TrainJob

_BLOCK = 512  # images whose answers are kept together: what a killed process asks again at most


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model version that teaches."""

    ref: ModelRef
    predictor: Predictor

    @property
    def folder(self) -> ModelFolder:
        """What its folder says of it."""
        return self.predictor.folder


def open_teacher(
    job: TrainJob, store: Store, workdir: Path, on_progress: ProgressCallback = ignore_progress
) -> Teacher | None:
    """Bring the job's teacher to this machine; ``None`` where there is none.

    Raises:
        ArtifactNotFound: It is not in the store.
        ArtifactCorrupt: It is another version than the job means, or its bytes are not those that were published.
        ConfigError: It answers in another vocabulary.
    """
    if job.teacher is None:
        return None
    ref = get_version(store, job.teacher, job.teacher_sha256, role="teacher")
    return Teacher(ref, Predictor.load(materialise(store, ref, workdir / "models", on_progress), model_id=ref.id))


def teach(
    teacher: Teacher | None,
    recipe: Recipe,
    dataset: OpenDataset,
    settings: Distillation,
    *,
    store: Store,
    scratch: Path,
    on_progress: ProgressCallback = ignore_progress,
) -> Teaching | None:
    """Ask the teacher about every image of the training split.

    The images are seen as the teacher's own preprocessing makes them, whatever the student's size, and without
    augmentation. Answers found in ``scratch`` are not asked for again, if they are whole and this teacher's to these
    images.

    Args:
        teacher: Who answers; ``None`` is no teaching.
        recipe: The student's.
        dataset: Its 'train' split is asked about.
        settings: How the student listens.
        store: Where the archive's files are, for a teacher of another size.
        scratch: Folder for the answers.
        on_progress: Hears how many images are done.

    Raises:
        ArtifactNotFound: An image is no longer in the archive.
        ArtifactCorrupt: An image or a record is not the one the dataset was made from.
        ConfigError: The teacher's answers are no finite numbers.
        StoreRefused: The answers cannot be written.
    """
    if teacher is None:
        return None
    rows = dataset.split("train")
    images = ModelImages(dataset, store, teacher.predictor.preprocessing)
    blocks = [np.zeros((0, N_CLASSES), np.float32)]
    for start in range(0, len(rows), _BLOCK):
        part = rows.iloc[start : start + _BLOCK]
        place = scratch / f"{start // _BLOCK:05d}.answers"
        blocks.append(_kept(place, teacher, part, images))
        done = start + len(part)
        on_progress(Progress(stage="teacher", done=done, total=len(rows), message="images shown to the teacher"))
    logits = np.concatenate(blocks)
    if not np.isfinite(logits).all():
        raise ConfigError(
            f"expected finite logits of teacher {teacher.ref.id}, got NaN or infinity for "
            f"{int((~np.isfinite(logits)).any(axis=1).sum())} of {len(rows)} images; choose another teacher"
        )
    return Teaching(logits + _shift(teacher, recipe, rows), settings)


def _kept(place: Path, teacher: Teacher, rows: pd.DataFrame, images: ModelImages) -> np.ndarray:
    """Return the answers for ``rows``, float32 (n, k), from ``place`` or asked now and put there."""
    subject = hashlib.sha256("\n".join([teacher.ref.sha256, *rows["isic_id"]]).encode()).digest()
    if (known := _read(place, subject)) is not None:
        return known
    logits = _ask(teacher.predictor, rows, images)
    stream = io.BytesIO()
    np.save(stream, logits, allow_pickle=False)
    body = stream.getvalue()
    with translated(place):
        write_whole(place, _checksum(subject, body) + body)
    return logits


def _read(place: Path, subject: bytes) -> np.ndarray | None:
    """Return what was kept, or ``None`` where it is missing, damaged, or about something else."""
    if not place.is_file():
        return None
    content = place.read_bytes()
    stated, body = content[:32], content[32:]
    if stated != _checksum(subject, body):
        return None
    kept: np.ndarray = np.load(io.BytesIO(body), allow_pickle=False)
    return kept


def _checksum(subject: bytes, body: bytes) -> bytes:
    return hashlib.sha256(subject + body).digest()


def _ask(predictor: Predictor, rows: pd.DataFrame, images: ModelImages) -> np.ndarray:
    return predictor.predict(images.pixels(rows), metadata_inputs(rows)).logits.astype(np.float32)


def _shift(teacher: Teacher, recipe: Recipe, rows: pd.DataFrame) -> np.ndarray:
    """Return what brings the teacher's logits to the student's prior; see ``prior_shift``."""
    counts = class_counts(rows["class_index"].to_numpy())
    return prior_shift(prior_of_logits(counts, recipe.imbalance), stated_prior(teacher.folder))
