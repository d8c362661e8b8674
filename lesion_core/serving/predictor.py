"""Answers from a stored model version through ONNX Runtime, without TensorFlow.

The model's folder is authoritative: class order, preprocessing and calibration are read from it and checked,
never assumed. How an answer is taken apart is written at ``explain_answer``.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

# From 1.29 on, ONNX Runtime reports sessions and models to its maker unless this is set before it is loaded;
# nothing of a hospital's work may leave the hospital. Set, not read: no setting of ours may turn it on.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

from lesion_core.cores import usable_cores
from lesion_core.errors import ArtifactCorrupt, ConfigError, InputRejected
from lesion_core.fields.table import FIELDS
from lesion_core.images import Preprocessing, decode, resize
from lesion_core.labels import CLASS_ORDER, MALIGNANT, N_CLASSES, Diagnosis
from lesion_core.serving.model_folder import ModelFolder, read_model_folder
from lesion_core.serving.onnx_file import NUMPY_TYPES, check_inputs, for_onnxruntime, unreadable
from lesion_core.serving.out_of_distribution import SCORE, Likeness, likeness_of
from lesion_core.serving.quality import QualityNote, check_quality
from lesion_core.types import PatientMetadata

_OCCLUSION_CELLS = 8  # per side
MapKind = Literal["evidence", "occlusion"]


class OnnxModel:
    """One ONNX file, run in batches.

    Args:
        path: The ``model.onnx`` file.
        threads: Threads inside one call; 0 means all cores that this process may use, which are also the most.
        batch_size: Images in one call.

    Raises:
        ArtifactCorrupt: ONNX Runtime cannot read the file, or it takes other inputs.
        ConfigError: The file is of a later version of ONNX than this ONNX Runtime knows.
    """

    def __init__(self, path: Path, *, threads: int = 0, batch_size: int = 32) -> None:
        options = onnxruntime.SessionOptions()
        # Always a number: else ONNX Runtime ties threads to cores that a container may not have, and says so in red.
        n_cores = usable_cores()
        options.intra_op_num_threads = min(threads, n_cores) if threads > 0 else n_cores
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                for_onnxruntime(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises a different class for every way a file can be broken
            raise unreadable(path, str(error)) from error
        self._inputs = {item.name: item for item in self._session.get_inputs()}
        check_inputs(path, {name: item.type for name, item in self._inputs.items()})
        self.output_names = tuple(item.name for item in self._session.get_outputs())
        self.batch_size = batch_size

    @property
    def size_px(self) -> int | None:
        """Side of the square input in pixels, or ``None`` where the file leaves it open."""
        side = self._inputs["image"].shape[1] if "image" in self._inputs else None
        return side if isinstance(side, int) else None

    def run(self, images: np.ndarray, metadata: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return every output of the file, by name, for ``n`` images.

        Args:
            images: uint8 (n, s, s, 3), RGB.
            metadata: Every field of the table by the name of its input, (n,) each: numbers with NaN where unknown,
                codes with 0 where unknown.

        Inputs that the file does not have (an image-only model, or one made before a field was added) are left out.
        """
        given = {"image": images, **metadata}
        feed = {
            name: np.ascontiguousarray(given[name], dtype=NUMPY_TYPES[item.type])
            for name, item in self._inputs.items()
        }
        starts = range(0, max(len(images), 1), self.batch_size)
        parts = [
            self._session.run(None, {name: array[start : start + self.batch_size] for name, array in feed.items()})
            for start in starts
        ]
        return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(self.output_names)}


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the model says about ``n`` images; classes in ``CLASS_ORDER``.

    ``logits`` float32 (n, k), raw: before the temperature. ``probs`` float32 (n, k) = softmax(logits / temperature).
    ``evidence`` float32 (n, h, w, k) and ``metadata_logits`` float32 (n, k), raw, where the head has them:
    logits = mean of evidence over the map + metadata_logits, + ``interaction_logits`` float32 (n, k) where the
    metadata gates the image's features. ``embedding`` float32 (n, d). ``ood_score`` float32 (n,), how unlike the
    images that the model was made from, where the model has it.
    """

    logits: np.ndarray
    probs: np.ndarray
    evidence: np.ndarray | None
    metadata_logits: np.ndarray | None
    embedding: np.ndarray
    interaction_logits: np.ndarray | None = None
    ood_score: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class ClassAnswer:
    """One class in an answer. The shares are calibrated log-odds against the average of the classes.

    ``interaction_share`` is None where the model has no such part.
    """

    diagnosis: Diagnosis
    probability: float
    probability_without_metadata: float
    image_share: float
    metadata_share: float
    baseline_share: float
    interaction_share: float | None = None

    @property
    def malignant(self) -> bool:
        """Whether the class is malignant by histology."""
        return self.diagnosis in MALIGNANT

    @property
    def added_by_metadata(self) -> float:
        """Probability with the given metadata minus probability with all of it unknown."""
        return self.probability - self.probability_without_metadata


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one image.

    ``classes``: all, most probable first. ``maps`` float32 (h, w, k) in ``CLASS_ORDER``, calibrated log-odds
    against the average of the classes; of ``map_kind`` "evidence" (its mean over the map is the class's
    image share) or "occlusion" (how far the value falls when the cell is hidden). ``pixels`` uint8 (s, s, 3): what
    the model saw. ``out_of_distribution`` is None where the model gives no score for the image.
    """

    model_id: str
    classes: tuple[ClassAnswer, ...]
    maps: np.ndarray
    map_kind: MapKind
    pixels: np.ndarray
    metadata: PatientMetadata
    notes: tuple[QualityNote, ...]
    out_of_distribution: Likeness | None = None

    @property
    def is_flagged(self) -> bool:
        """Whether the image is known to be out of distribution."""
        return self.out_of_distribution is not None and bool(self.out_of_distribution.flagged)

    @property
    def is_far(self) -> bool:
        """Whether it is so far out that the answer means nothing."""
        return self.out_of_distribution is not None and self.out_of_distribution.is_far

    def of(self, diagnosis: Diagnosis) -> ClassAnswer:
        """Return the part of the answer about one class."""
        return next(item for item in self.classes if item.diagnosis == diagnosis)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return float32 probabilities over the last axis."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)


def centre(values: np.ndarray) -> np.ndarray:
    """Return ``values`` minus their mean over the last axis (the classes).

    Softmax does not see a number added to all classes, so only differences between classes mean anything.
    Centred logits are the centred log-ratio of the probabilities (Aitchison 1982): log p of the class minus the
    mean log p of all classes. Being linear, they may be added up.
    """
    return values - values.mean(axis=-1, keepdims=True)


class Predictor:
    """One model version, ready to answer; safe to share between threads."""

    def __init__(self, folder: ModelFolder, model: OnnxModel) -> None:
        self.folder = folder
        self._model = model
        needed = ["logits", "embedding", *([SCORE] if folder.out_of_distribution else [])]
        if set(needed) - set(model.output_names):
            raise ArtifactCorrupt(
                f"expected outputs {', '.join(needed)} in {folder.path / 'model.onnx'}, "
                f"got {', '.join(model.output_names)}; export the model again",
                key=str(folder.path),
            )
        if model.size_px not in (None, folder.preprocessing.size_px):
            raise ConfigError(
                f"model.onnx takes images of {model.size_px} px, its preprocessing.json makes "
                f"{folder.preprocessing.size_px} px; the folder {folder.path} does not belong together"
            )

    @classmethod
    def load(
        cls, folder: Path, *, model_id: str | None = None, threads: int = 0, batch_size: int = 32
    ) -> "Predictor":
        """Load a model version from its local folder.

        Args:
            folder: Directory with model.onnx, labels.json, preprocessing.json, calibration.json, provenance.json,
                recipe.json, as ``stores.folders.materialise`` returns it.
            model_id: Readable id (``ModelRef.id``); by default the folder's last two parts.
            threads: Threads inside one call; 0 means all cores.
            batch_size: Images in one call.

        Raises:
            ArtifactNotFound: A file is missing.
            ArtifactCorrupt: A file cannot be read.
            ConfigError: The model was made for other classes, or other values of a field, or another order of them.
        """
        described = read_model_folder(folder, model_id=model_id)
        return cls(described, OnnxModel(folder / "model.onnx", threads=threads, batch_size=batch_size))

    @property
    def model_id(self) -> str:
        """Readable id of the model version."""
        return self.folder.model_id

    @property
    def preprocessing(self) -> Preprocessing:
        """How bytes become the pixels this model was trained on."""
        return self.folder.preprocessing

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax."""
        return self.folder.temperature

    def predict(self, images: np.ndarray, metadata: Mapping[str, np.ndarray]) -> Predictions:
        """Return the model's outputs for ``n`` images; arguments as for ``OnnxModel.run``.

        Raises:
            ConfigError: ``images`` is not uint8 (n, s, s, 3) of this model's size.
        """
        side = self.preprocessing.size_px
        if images.dtype != np.uint8 or images.shape[1:] != (side, side, 3):
            raise ConfigError(
                f"expected uint8 images of shape (n, {side}, {side}, 3), got {images.dtype} {images.shape}; "
                "prepare them with this model's preprocessing"
            )
        outputs = self._model.run(images, metadata)
        logits = outputs["logits"]
        return Predictions(
            logits=logits,
            probs=softmax(logits / self.temperature),
            evidence=outputs.get("evidence"),
            metadata_logits=outputs.get("metadata_logits"),
            embedding=outputs["embedding"],
            interaction_logits=outputs.get("interaction_logits"),
            ood_score=outputs.get(SCORE),
        )

    def predict_bytes(self, data: bytes, metadata: PatientMetadata, *, image_id: str = "upload") -> Answer:
        """Answer for one encoded image and what is known of the patient.

        Raises:
            ImageRejected: The bytes are no usable image (``reason``).
            InputRejected: The model gives no numbers for it.
        """
        image = decode(data, image_id=image_id)
        notes = check_quality(image, size_px=self.preprocessing.size_px)
        return explain_answer(self, resize(image, self.preprocessing), metadata, notes)


def explain_answer(
    predictor: Predictor, pixels: np.ndarray, metadata: PatientMetadata, notes: tuple[QualityNote, ...] = ()
) -> Answer:
    """Predict one prepared image and take the answer apart.

    With T the temperature and centre(·) as above, the calibrated value of a class is
    v = centre(logits with the given metadata) / T, and v is the exact sum of its shares:

    - image: the mean over the map of centre(evidence) / T, with all metadata unknown;
    - baseline: centre(metadata term with all metadata unknown) / T: what the model says before it sees anything
      but its own bias;
    - interaction, where the metadata gates the image's features: centre(interaction term) / T: what the image says
      differently because the patient is known; 0 with all metadata unknown;
    - metadata: v minus the value with all metadata unknown, minus the interaction: what knowing the patient
      changed whatever the image shows.

    A head without evidence cannot be taken apart exactly: its image share is the whole value with unknown
    metadata, its baseline share is 0, its metadata share holds any interaction, and its map comes from occlusion.

    Args:
        predictor: The model.
        pixels: uint8 (s, s, 3), preprocessed for this model.
        metadata: What is known of the patient.
        notes: Quality notes to hand on.

    Raises:
        InputRejected: The model gives infinite values or NaN for this image (``field`` is ``image``).
    """
    known = predictor.predict(pixels[None], _repeated(metadata, 1))
    unknown = predictor.predict(pixels[None], _repeated(PatientMetadata(), 1))
    if not (np.isfinite(known.logits).all() and np.isfinite(unknown.logits).all()):
        raise InputRejected(
            f"expected numbers from the model {predictor.model_id} for this image, got none (NaN); no probability "
            "can be given. Tell whoever runs this program: the model must be trained again.",
            field="image",
        )
    scale = 1 / predictor.temperature
    value = centre(known.logits[0]) * scale
    without = centre(unknown.logits[0]) * scale
    kind: MapKind = "occlusion" if unknown.evidence is None else "evidence"
    if unknown.evidence is None:
        maps = _occlude(predictor, pixels, metadata, value)
        image = without.astype(np.float64)
    else:
        maps = centre(unknown.evidence[0]) * scale
        image = maps.mean(axis=(0, 1), dtype=np.float64)
    interaction = None if known.interaction_logits is None else centre(known.interaction_logits[0]) * scale
    change = value - without
    metadata_share = change if interaction is None else change - interaction
    order = np.argsort(-known.probs[0], kind="stable")
    return Answer(
        model_id=predictor.model_id,
        classes=tuple(
            ClassAnswer(
                diagnosis=CLASS_ORDER[index],
                probability=float(known.probs[0, index]),
                probability_without_metadata=float(unknown.probs[0, index]),
                image_share=float(image[index]),
                metadata_share=float(metadata_share[index]),
                baseline_share=float(without[index] - image[index]),
                interaction_share=None if interaction is None else float(interaction[index]),
            )
            for index in order
        ),
        maps=maps.astype(np.float32),
        map_kind=kind,
        pixels=pixels,
        metadata=metadata,
        notes=notes,
        out_of_distribution=likeness_of(predictor.folder.out_of_distribution, known.ood_score),
    )


def _repeated(metadata: PatientMetadata, n: int) -> dict[str, np.ndarray]:
    """Return the model's metadata inputs for ``n`` images of one patient."""
    known = {field: getattr(metadata, field.name) for field in FIELDS}
    return {field.input: np.full(n, field.encode(value), field.dtype) for field, value in known.items()}


def _occlude(predictor: Predictor, pixels: np.ndarray, metadata: PatientMetadata, value: np.ndarray) -> np.ndarray:
    """Return (8, 8, k): how far each class's calibrated value falls when a cell is hidden.

    A cell is hidden by the image's mean colour (occlusion sensitivity, Zeiler and Fergus 2014, arXiv:1311.2901;
    the mean rather than grey, because a grey patch on skin is itself a finding).
    """
    edges = np.linspace(0, len(pixels), _OCCLUSION_CELLS + 1).round().astype(int)
    mean = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    hidden = np.repeat(pixels[None], _OCCLUSION_CELLS**2, axis=0)
    for cell in range(_OCCLUSION_CELLS**2):
        row, column = divmod(cell, _OCCLUSION_CELLS)
        hidden[cell, edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = mean
    values = centre(predictor.predict(hidden, _repeated(metadata, len(hidden))).logits) / predictor.temperature
    return (value - values).reshape(_OCCLUSION_CELLS, _OCCLUSION_CELLS, N_CLASSES)
