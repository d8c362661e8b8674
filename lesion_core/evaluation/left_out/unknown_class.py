"""How well a model tells that an image is of none of its classes, measured on a class that it never learnt.

Every score is higher where an image looks less like what was learnt:

- one minus the largest probability (Hendrycks and Gimpel 2017, arXiv:1610.02136), and the entropy of the
  probabilities, in nats;
- the energy, -T · log Σ exp(logit / T) (Liu et al. 2020, arXiv:2010.03759), and minus the largest logit (Hendrycks et
  al. 2022, arXiv:1911.11132);
- of the embedding, the smallest Mahalanobis distance to a class's mean (Lee et al. 2018, arXiv:1807.03888) under the
  shrunk covariance of Ledoit and Wolf 2004 (doi:10.1016/S0047-259X(03)00096-4), and the distance to the fifth nearest
  neighbour among training images, of embeddings of length 1 (Sun et al. 2022, arXiv:2204.06507);
- ``ood_score``, where the model has an output of that name.

Nothing is fitted to images of the unknown class: references are training images, thresholds calibration images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from lesion_core.errors import DataError
from lesion_core.labels import CLASS_ORDER, MALIGNANT, Diagnosis, class_index
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.rank_intervals import estimate_area
from lesion_core.types import Value

USEFUL_AUROC = 0.8
FALSE_ALARMS = 0.05
N_NEIGHBOURS = 5
_MALIGNANT = [class_index(name) for name in MALIGNANT]
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model says of n images, and what they are.

    Attributes:
        logits: float (n, k), raw.
        probs: float (n, k), calibrated.
        embedding: float (n, d).
        class_index: int (n,).
        groups: (n,).
        ood_score: float (n,), higher where the model takes an image for none of its classes; ``None`` where it has no
            such output.
    """

    logits: np.ndarray
    probs: np.ndarray
    embedding: np.ndarray
    class_index: np.ndarray
    groups: np.ndarray
    ood_score: np.ndarray | None = None


class ScoreResult(Value):
    """One score on the images of the unknown class against test images of known ones."""

    score: str
    auroc: Estimate = Field(description="Chance that an unknown image has the higher score; 0.5: tells nothing")
    threshold: float = Field(description="Of which so many calibration images are above as false alarms are allowed")
    false_alarms: Estimate = Field(description="Share of the known test images above it")
    false_accepts: Estimate = Field(description="Share of the unknown images not above it")
    false_malignant: Estimate = Field(description="Share of the unknown images not above it and answered malignant")

    @property
    def is_useful(self) -> bool:
        """Whether it tells unknown images well enough to rely on."""
        return self.auroc.value is not None and self.auroc.value >= USEFUL_AUROC


class UnknownClassMetrics(Value):
    """How a model treats images of a class that it never learnt."""

    diagnosis: Diagnosis = Field(description="The class that was left out")
    n_unknown: int = Field(ge=1, description="Images of it")
    n_unknown_groups: int = Field(ge=1)
    n_known: int = Field(ge=1, description="Test images of the other classes")
    n_known_groups: int = Field(ge=1)
    n_calibration: int = Field(ge=1, description="Images that the thresholds are from")
    n_reference: int = Field(ge=1, description="Training images that embeddings are compared with")
    answers: dict[str, int] = Field(description="What the unknown images are answered with: images by class")
    false_malignant: Estimate = Field(description="Share of the unknown images that are answered malignant")
    is_malignant: bool = Field(description="Whether the class that was left out is malignant itself")
    scores: tuple[ScoreResult, ...] = Field(description="The best first")

    def in_words(self) -> str:
        """Return the finding in plain sentences."""
        best = self.scores[0]
        verdict = (
            f"The best score is {best.score}: AUROC {best.auroc.in_words()}; with {FALSE_ALARMS:.0%} false alarms it "
            f"accepts {best.false_accepts.in_words()} of the unknown images."
        )
        if best.is_useful and (best.auroc.low is None or best.auroc.low < USEFUL_AUROC):
            verdict += f" Its interval reaches below {USEFUL_AUROC}: that it works is not shown by so few images."
        if not any(one.is_useful for one in self.scores):
            verdict = (
                f"No score works well enough: none reaches an AUROC of {USEFUL_AUROC}. The model cannot tell that it "
                f"does not know {self.diagnosis}. {verdict}"
            )
        treated = f"{self.false_malignant.in_words()} of its images are answered malignant"
        return (
            f"{self.diagnosis} was left out of the training; {self.n_unknown:,} images of it against "
            f"{self.n_known:,} of known classes. {verdict} {treated}{' (which it is)' if self.is_malignant else ''}."
        )


def measure_unknown_class(
    diagnosis: Diagnosis,
    *,
    reference: Outputs,
    calibration: Outputs,
    known: Outputs,
    unknown: Outputs,
    temperature: float,
    n_bootstrap: int = 1000,
    seed: int = 7,
) -> UnknownClassMetrics:
    """Measure every score on unknown against known test images.

    Args:
        diagnosis: The class that was left out.
        reference: Training images.
        calibration: Calibration images; the threshold of a score lets 5 % of them be false alarms.
        known: Test images of the classes that the model learnt.
        unknown: Images of the class that it did not.
        temperature: What logits are divided by in the energy.
        n_bootstrap: Resamples of whole groups.
        seed: Of the resamples.

    Raises:
        DataError: One of the four has no images, or images of the unknown class are among the first three.
    """
    place = class_index(diagnosis)
    for name, part in (("training", reference), ("calibration", calibration), ("known test", known)):
        _check(name, part, not (part.class_index == place).any(), f"none of the class {diagnosis}")
    _check("unknown", unknown, bool((unknown.class_index == place).all()), f"all of the class {diagnosis}")
    called_malignant = np.isin(unknown.probs.argmax(axis=1), _MALIGNANT)
    asked = {"n_bootstrap": n_bootstrap, "seed": seed}
    results = []
    for name, score in _scores(reference, temperature).items():
        if name == OOD and any(part.ood_score is None for part in (calibration, known, unknown)):
            continue
        of_known, of_unknown = score(known), score(unknown)
        threshold = float(np.quantile(score(calibration), 1 - FALSE_ALARMS, method="higher"))
        accepted = of_unknown <= threshold
        results.append(
            ScoreResult(
                score=name,
                auroc=_area(of_known, of_unknown, known.groups, unknown.groups, **asked),
                threshold=threshold,
                false_alarms=_share(of_known > threshold, known.groups, **asked),
                false_accepts=_share(accepted, unknown.groups, **asked),
                false_malignant=_share(accepted & called_malignant, unknown.groups, **asked),
            )
        )
    answers = np.bincount(unknown.probs.argmax(axis=1), minlength=len(CLASS_ORDER))
    return UnknownClassMetrics(
        diagnosis=diagnosis,
        n_unknown=len(unknown.groups),
        n_unknown_groups=len(np.unique(unknown.groups)),
        n_known=len(known.groups),
        n_known_groups=len(np.unique(known.groups)),
        n_calibration=len(calibration.groups),
        n_reference=len(reference.groups),
        answers={str(name): int(n) for name, n in zip(CLASS_ORDER, answers, strict=True) if n},
        false_malignant=_share(called_malignant, unknown.groups, **asked),
        is_malignant=diagnosis in MALIGNANT,
        scores=tuple(sorted(results, key=lambda one: -(one.auroc.value or 0.0))),
    )


MAX_PROBABILITY, ENTROPY, ENERGY, MAX_LOGIT = "max probability", "entropy", "energy", "max logit"
MAHALANOBIS, NEIGHBOURS, OOD = "Mahalanobis distance", f"{N_NEIGHBOURS} nearest neighbours", "ood_score"
Score = Callable[[Outputs], np.ndarray]


def _scores(reference: Outputs, temperature: float) -> Mapping[str, Score]:
    """Return every score by its name; each gives float64 (n,), higher where an image is less known."""
    return {
        MAX_PROBABILITY: lambda said: 1 - said.probs.max(axis=1).astype(np.float64),
        ENTROPY: lambda said: -(said.probs * np.log(np.maximum(said.probs, _LEAST))).sum(axis=1, dtype=np.float64),
        ENERGY: lambda said: -temperature * logsumexp(said.logits.astype(np.float64) / temperature, axis=1),
        MAX_LOGIT: lambda said: -said.logits.max(axis=1).astype(np.float64),
        MAHALANOBIS: _mahalanobis(reference),
        NEIGHBOURS: _neighbours(reference),
        OOD: lambda said: np.asarray(said.ood_score, np.float64),
    }


def _mahalanobis(reference: Outputs) -> Score:
    embedding, classes = reference.embedding.astype(np.float64), np.unique(reference.class_index)
    means = np.stack([embedding[reference.class_index == number].mean(axis=0) for number in classes])
    centred = embedding - means[np.searchsorted(classes, reference.class_index)]
    precision = LedoitWolf(assume_centered=True).fit(centred).get_precision()

    def score(said: Outputs) -> np.ndarray:
        away = (said.embedding.astype(np.float64) - mean for mean in means)
        return np.min([((one @ precision) * one).sum(axis=1) for one in away], axis=0)

    return score


def _neighbours(reference: Outputs) -> Score:
    found = NearestNeighbors(n_neighbors=min(N_NEIGHBOURS, len(reference.groups))).fit(_unit(reference.embedding))
    return lambda said: np.asarray(found.kneighbors(_unit(said.embedding))[0][:, -1], np.float64)


def _unit(vectors: np.ndarray) -> np.ndarray:
    values = vectors.astype(np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _LEAST))


def _area(
    known: np.ndarray, unknown: np.ndarray, known_groups: np.ndarray, unknown_groups: np.ndarray, **asked: int
) -> Estimate:
    is_unknown = np.repeat([False, True], [len(known), len(unknown)])
    scores, groups = np.concatenate([known, unknown]), np.concatenate([known_groups, unknown_groups])
    return estimate_area(is_unknown, scores, groups, n_bootstrap=asked["n_bootstrap"], seed=asked["seed"])


def _share(chosen: np.ndarray, groups: np.ndarray, *, n_bootstrap: int, seed: int) -> Estimate:
    return GroupMeans(np.zeros(len(groups), np.int64), groups, n_bootstrap, seed).share(chosen)


def _check(name: str, part: Outputs, holds: bool, expected: str) -> None:
    if not len(part.groups) or not holds:
        raise DataError(
            f"expected {name} images, {expected}, got {len(part.groups)} images of the classes "
            f"{', '.join(CLASS_ORDER[number] for number in np.unique(part.class_index)) or 'none'}; leave the class "
            "out of the dataset with leave_out_class, and take more images where there are none"
        )
