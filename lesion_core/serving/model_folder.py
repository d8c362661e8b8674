"""What a model's folder says about itself, read once and checked.

A served metadata vector whose codes are in another order than in training is wrong without any error, so the
vocabulary in ``labels.json`` must be this program's own. That the bytes are those that were published is proven
by ``stores.folders.materialise``.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError
from lesion_core.fields.table import categories
from lesion_core.images import Preprocessing
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.recipes.class_shares import prior_of_logits
from lesion_core.recipes.sections import Imbalance
from lesion_core.statistics.guarantees.conformal import ConformalSets
from lesion_core.statistics.guarantees.operating_points import OperatingPoints
from lesion_core.statistics.guarantees.out_of_distribution import OutOfDistribution
from lesion_core.types import JsonDict, Licence, Value

CALIBRATION_NAME = "calibration.json"
OPERATING_POINTS_NAME = "operating_points.json"
CONFORMAL_NAME = "conformal.json"
CALIBRATION_IMAGES_NAME = "calibration_images.json"
OOD_NAME = "ood.json"
FILES = ("model.onnx", "labels.json", "preprocessing.json", CALIBRATION_NAME, "provenance.json", "recipe.json")
_Optional = TypeVar("_Optional", bound=Value)


class Provenance(Value):
    """What a model was trained on, as far as the page tells it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset: JsonDict = Field(default_factory=dict, description="Reference to the dataset, with its id")
    licence: Licence = Field(description="Most restrictive licence of any training image")
    attributions: tuple[str, ...] = Field(default=(), description="Whom the licences ask to name")
    synthetic: bool = Field(description="Whether any training image is generated")
    n_train_images: int = Field(ge=0)
    class_counts: JsonDict = Field(default_factory=dict, description="Training images of each class")
    absent_classes: tuple[str, ...] = Field(default=(), description="Classes without a training image")
    start_from: str | None = Field(default=None, description="Id of the model whose weights it started from")
    teacher: str | None = Field(default=None, description="Id of the model whose answers it learnt from")


class CalibrationImages(Value):
    """Which images decided temperature, operating points and conformal sets: no measurement on them is honest."""

    isic_ids: tuple[str, ...] = Field(description="Sorted")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A local model folder whose files belong together.

    Attributes:
        class_prior: float64 (k,), class shares that logits and probabilities stand for; ``None`` where an older model
            states neither them nor what they follow from (``stated_prior``).
        operating_points: Thresholds of its decisions; ``None`` in an older model.
        conformal: What decides about its conformal sets; ``None`` in an older model.
        calibration_images: Ids of the images that it was calibrated on; ``None`` in an older model.
        out_of_distribution: What tells images that are unlike its own; ``None`` in an older model.
    """

    path: Path
    model_id: str
    preprocessing: Preprocessing
    temperature: float
    class_prior: np.ndarray | None
    provenance: Provenance
    recipe: JsonDict
    operating_points: OperatingPoints | None = None
    conformal: ConformalSets | None = None
    calibration_images: frozenset[str] | None = None
    out_of_distribution: OutOfDistribution | None = None


def read_model_folder(path: Path, *, model_id: str | None = None) -> ModelFolder:
    """Read and check the small files beside ``model.onnx``.

    Raises:
        ArtifactNotFound: A file is missing.
        ArtifactCorrupt: A file cannot be read.
        ConfigError: Classes, or values of a field, are not this program's, in this program's order.
    """
    _check_complete(path)
    _check_vocabulary(path, _read_json(path / "labels.json"))
    calibration, recipe = _read_json(path / CALIBRATION_NAME), _read_json(path / "recipe.json")
    calibrated_on = _read_optional(path / CALIBRATION_IMAGES_NAME, CalibrationImages)
    temperature = calibration.get("temperature")
    if not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
        raise _corrupt(path / CALIBRATION_NAME, f"a temperature above 0, got {temperature!r}")
    try:
        preprocessing = Preprocessing.model_validate(_read_json(path / "preprocessing.json"))
        provenance = Provenance.model_validate(_read_json(path / "provenance.json"))
    except ValidationError as error:
        raise _corrupt(path, f"known fields in preprocessing.json and provenance.json, got: {error}") from error
    return ModelFolder(
        path=path,
        model_id=model_id or "/".join(path.parts[-2:]),
        preprocessing=preprocessing,
        temperature=float(temperature),
        class_prior=_class_prior(path, calibration, provenance, recipe),
        provenance=provenance,
        recipe=recipe,
        operating_points=_read_optional(path / OPERATING_POINTS_NAME, OperatingPoints),
        conformal=_read_optional(path / CONFORMAL_NAME, ConformalSets),
        calibration_images=None if calibrated_on is None else frozenset(calibrated_on.isic_ids),
        out_of_distribution=_read_optional(path / OOD_NAME, OutOfDistribution),
    )


def stated_prior(folder: ModelFolder) -> np.ndarray:
    """Return the class shares that a model's logits stand for, float64 (k,), positive, sum 1.

    Raises:
        ConfigError: It is a model of an older version that does not state them.
    """
    if folder.class_prior is None:
        raise ConfigError(
            f"expected model {folder.model_id} to state its training images by class, got "
            f"{dict(folder.provenance.class_counts)}; which class shares its answers stand for is not known: train "
            "it again, or choose another model"
        )
    return folder.class_prior


def _class_prior(path: Path, calibration: JsonDict, provenance: Provenance, recipe: JsonDict) -> np.ndarray | None:
    """Return what calibration.json states; of an older model, what follows from its recipe and images."""
    if "class_prior" in calibration:
        stated = calibration["class_prior"]
        try:
            prior = np.array(stated, np.float64)
        except (TypeError, ValueError):
            prior = np.zeros(0)
        if prior.shape != (N_CLASSES,) or not (np.isfinite(prior).all() and (prior > 0).all()):
            raise _corrupt(path / CALIBRATION_NAME, f"class_prior of {N_CLASSES} shares above 0, got {stated!r}")
        return prior / prior.sum()
    try:
        imbalance = Imbalance.model_validate(recipe.get("imbalance", {}))
    except ValidationError:  # of a version that knew other ways to treat rare classes
        return None
    by_class = provenance.class_counts
    counts = np.array([int(by_class.get("train", by_class).get(str(name), 0)) for name in CLASS_ORDER])
    if counts.any():
        return prior_of_logits(counts, imbalance)
    return np.full(N_CLASSES, 1 / N_CLASSES) if imbalance.logit_adjustment == 1 else None


def vocabulary() -> JsonDict:
    """Return the content of ``labels.json``: the order of the classes and values that the numbers stand for."""
    fields = {field.order_name: list(field.words) for field in categories()}
    return {"class_order": [str(item) for item in CLASS_ORDER], **fields}


def _check_complete(path: Path) -> None:
    for name in FILES:
        if not (path / name).is_file():
            raise ArtifactNotFound(
                f"expected {name} in the model folder {path}, found none; train or copy the model again",
                key=str(path / name),
            )


def _check_vocabulary(path: Path, labels: JsonDict) -> None:
    later = {field.order_name for field in categories() if field.is_later}
    for field, ours in vocabulary().items():
        if field in later and field not in labels:
            continue  # made before there was this field, which it does not take
        if labels.get(field) != ours:
            raise ConfigError(
                f"expected {field} {ours} in {path / 'labels.json'}, got {labels.get(field)}; "
                "this model answers in another vocabulary and cannot be served by this version"
            )


def _read_optional(path: Path, kind: type[_Optional]) -> _Optional | None:
    """Return what a file of later versions says, ``None`` where an older model has none.

    Raises:
        ArtifactCorrupt: It is there and cannot be read.
    """
    if not path.is_file():
        return None
    try:
        return kind.model_validate(_read_json(path))
    except ValidationError as error:
        raise _corrupt(path, f"{kind.__name__}, got: {error}") from error


def _read_json(path: Path) -> JsonDict:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _corrupt(path, f"JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise _corrupt(path, f"a JSON object, got {type(content).__name__}")
    return content


def _corrupt(path: Path, expectation: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"expected in {path}: {expectation}; train or copy the model again", key=str(path))
