"""Which images that are no dermoscopy are noticed: ``python -m benchmarks.out_of_distribution FOLDER``.

FOLDER holds ``archive/`` with ISIC 2019's images (HAM10000 200 px wide, MSK 256 px, which tells them apart). Scores
are fitted on one image of each of 2,000 lesions, half of them of each source; thresholds come from 500 further ones
(5 % false alarms); false alarms are counted on yet others, and on the source that a score was not fitted on. With
``--model``, a model's folder, its own outputs are compared: maximum logit (Hendrycks et al. 2022, arXiv:1911.11132),
energy (Liu et al. 2020, arXiv:2010.03759), and distances in its embedding. The distance to the fifth neighbour is
that of Sun et al. 2022 (arXiv:2204.06507), on features of length 1.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.measure import write_result
from benchmarks.strange_images import Images, drawn, generated, overlaid, photographs, skin_crops
from lesion_core.evaluation.analysis.out_of_distribution import measure_out_of_distribution
from lesion_core.fields.table import FIELDS
from lesion_core.images import Preprocessing, resize
from lesion_core.modeling.network.out_of_distribution import features_of, frozen_features
from lesion_core.serving.predictor import Predictor
from lesion_core.statistics.guarantees.out_of_distribution import (
    MOST_IMAGES,
    find_threshold,
    fit_spread,
)
from lesion_core.statistics.guarantees.trials import one_per_group

N_CALIBRATION, N_TEST, N_DRAWN, N_NEAR = 500, 700, 40, 150
_NEIGHBOURS, _BATCH = 5, 64
_OURS = "frozen, Mahalanobis"
NEAR = ("our generator's scenes", "dermoscopy under ink, rulers, hairs", "plain skin, enlarged")
Outputs = dict[str, np.ndarray]
Score = Callable[[Outputs], np.ndarray]


@dataclass(frozen=True, slots=True)
class Source:
    """Images of one source: to fit, for the threshold, and to count false alarms on; one of each lesion."""

    name: str
    fit: list[Path]
    calibration: list[Path]
    test: list[Path]


def main() -> None:
    """Measure, write ``out_of_distribution.json`` and print what is flagged."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--print-only", action="store_true", help="write no result")
    asked = parser.parse_args()
    see = _Seeing(asked.model, asked.size_px)
    sources = _sources(asked.folder)
    result = measure(sources, see)
    for row in [result["table"]["header"], *result["table"]["rows"]]:
        print(" | ".join(row))
    print("\n".join(result["flagged"]), result["wider_limits"], sep="\n")
    if not asked.print_only:
        command = "python -m benchmarks.out_of_distribution FOLDER" + (" --model MODEL" if asked.model else "")
        print(write_result("out-of-distribution", command, result))


class _Seeing:
    """What the frozen network and, where one is given, a model say of images."""

    def __init__(self, model: Path | None, size_px: int) -> None:
        self.predictor = Predictor.load(model) if model else None
        self.preprocessing = self.predictor.preprocessing if self.predictor else Preprocessing(size_px=size_px)
        self._frozen = frozen_features(self.preprocessing.size_px)

    def images(self, images: Iterator[np.ndarray] | Images) -> Outputs:
        """Return ``frozen`` (n, 672) and, with a model, ``logits`` and ``embedding``."""
        batches = _batches(resize(image, self.preprocessing) for image in images)
        parts = [self._outputs(batch) for batch in batches]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def files(self, paths: list[Path]) -> Outputs:
        return self.images(map(_open, paths))

    def _outputs(self, batch: np.ndarray) -> Outputs:
        found = {"frozen": features_of(self._frozen, batch)}
        if self.predictor is not None:
            unknown = {field.input: np.full(len(batch), field.encode(None), field.dtype) for field in FIELDS}
            answered = self.predictor.predict(batch, unknown)
            found |= {"logits": answered.logits, "embedding": answered.embedding}
        return found


def measure(sources: dict[str, Source], see: _Seeing) -> dict[str, Any]:
    """Return the table of kinds by method, the false alarms by source, and the names of what is flagged."""
    both = Source("both", *([path for one in sources.values() for path in part(one)] for part in _PARTS))
    seen = {part: {name: see.files(_PARTS[i](one)) for name, one in sources.items()} for i, part in enumerate(_NAMES)}
    positives = {kind: see.images(images) for kind, images in _positives(both).items()}
    pooled = {part: _joined(list(of.values())) for part, of in seen.items()}
    scores = _scores(pooled["fit"], has_model=see.predictor is not None)
    thresholds = {name: _limit(score(pooled["calibration"])) for name, score in scores.items()}
    rows = [_row(kind, found, pooled["test"], scores, thresholds) for kind, found in positives.items()]
    header = ["images", "n", *(f"{name}: AUROC, caught" for name in scores)]
    rows += _false_alarms("fitted on both", seen["test"], scores, thresholds)
    alone, spared = _across(seen, positives, has_model=see.predictor is not None)
    return {
        "table": {"header": header, "rows": [*rows, *alone]},
        "n_fit": len(both.fit),
        "n_calibration": len(both.calibration),
        "wider_limits": spared,
        "size_px": see.preprocessing.size_px,
        "flagged": _names_of_flagged(positives, scores, thresholds),
    }


_NAMES = ("fit", "calibration", "test")
_PARTS: tuple[Callable[[Source], list[Path]], ...] = (
    lambda one: one.fit,
    lambda one: one.calibration,
    lambda one: one.test,
)


def _sources(folder: Path) -> dict[str, Source]:
    """Return one image of each lesion by source, parted by chance; a lesion without an id is its own."""
    table = pd.read_csv(folder / "archive" / "metadata.csv", usecols=["isic_id", "lesion_id"])
    groups = table["lesion_id"].fillna(table["isic_id"]).to_numpy(str)
    chosen = one_per_group(groups, seed=0)
    paths = [folder / "archive" / f"{name}.jpg" for name in table["isic_id"].iloc[chosen]]
    order = np.random.default_rng(0).permutation(len(paths))
    by_width: dict[int, list[Path]] = {200: [], 256: []}
    for place in order:
        with Image.open(paths[place]) as image:
            by_width[image.width].append(paths[place])
    found = {}
    for name, width in (("HAM10000", 200), ("MSK", 256)):
        own, n_fit = by_width[width], MOST_IMAGES // 2
        ends = np.cumsum([n_fit, N_CALIBRATION // 2, N_TEST])
        found[name] = Source(name, own[: ends[0]], own[ends[0] : ends[1]], own[ends[1] : ends[2]])
    return found


def _positives(both: Source) -> dict[str, Images]:
    rng = np.random.default_rng(1)
    real = [_open(path) for path in both.test[:: len(both.test) // N_NEAR][:N_NEAR]]
    near = (generated(N_NEAR), overlaid(real, rng), skin_crops(real))
    return {**photographs(rng), **drawn(rng, N_DRAWN), **dict(zip(NEAR, near, strict=True))}


def _scores(fit: Outputs, *, has_model: bool) -> dict[str, Score]:
    """Return the scores, higher for what is more unlike, by name."""
    found = {_OURS: _mahalanobis(fit, "frozen"), "frozen, 5-NN": _neighbours(fit, "frozen")}
    if has_model:
        found |= {
            "own, maximum logit": lambda seen: -seen["logits"].max(axis=1),
            "own, energy": lambda seen: -logsumexp(seen["logits"].astype(np.float64), axis=1),
            "own, Mahalanobis": _mahalanobis(fit, "embedding"),
            "own, 5-NN": _neighbours(fit, "embedding"),
        }
    return found


def _mahalanobis(fit: Outputs, layer: str) -> Score:
    spread = fit_spread(fit[layer])
    return lambda seen: spread.distances(seen[layer])


def _neighbours(fit: Outputs, layer: str) -> Score:
    index = NearestNeighbors(n_neighbors=_NEIGHBOURS).fit(_unit(fit[layer]))
    return lambda seen: index.kneighbors(_unit(seen[layer]))[0][:, -1]


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _limit(scores: np.ndarray) -> float:
    # Energies may be below 0, which a threshold of distances never is: shifted for the order statistic.
    low = float(scores.min())
    found = find_threshold(scores - low, layer="", n_fit=0).threshold
    assert found is not None
    return found + low


def _row(
    kind: str, found: Outputs, test: Outputs, scores: dict[str, Score], thresholds: dict[str, float]
) -> list[str]:
    cells = []
    for name, score in scores.items():
        strange, ordinary = score(found), score(test)
        truth = np.repeat([1, 0], [len(strange), len(ordinary)])
        area = roc_auc_score(truth, np.concatenate([strange, ordinary]))
        caught = float((strange > thresholds[name]).mean())
        cells.append(f"{area:.3f}, {100 * caught:.0f} %")
    return [kind, str(len(found["frozen"])), *cells]


def _false_alarms(
    what: str, seen: dict[str, Outputs], scores: dict[str, Score], thresholds: dict[str, float]
) -> list[list[str]]:
    """Return a row for each source; a lesion is a group."""
    rows = []
    for name, outputs in seen.items():
        n = len(outputs["frozen"])
        shares = []
        for method, score in scores.items():
            found = measure_out_of_distribution(score(outputs), np.arange(n), thresholds[method]).share
            shares.append(f"{100 * (found.value or 0):.1f} % ({_percent(found.low)} to {_percent(found.high)})")
        rows.append([f"*false alarms*, {what}: {name}", str(n), *shares])
    return rows


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.1f}"


def _across(
    seen: dict[str, dict[str, Outputs]], positives: dict[str, Outputs], *, has_model: bool
) -> tuple[list[list[str]], dict[str, Any]]:
    """Fit on one source alone: the false alarms on both, and what a limit that spares the other one still catches."""
    rows, spared = [], {}
    for own in seen["fit"]:
        scores = _scores(seen["fit"][own], has_model=has_model)
        thresholds = {name: _limit(score(seen["calibration"][own])) for name, score in scores.items()}
        rows += _false_alarms(f"fitted on {own} alone", seen["test"], scores, thresholds)
        score = scores[_OURS]
        other = next(name for name in seen["test"] if name != own)
        wider = float(np.quantile(score(seen["test"][other]), 0.95))
        spared[f"fitted on {own}, 5 % of {other}"] = {
            "limit": thresholds[_OURS],
            "wider_limit": wider,
            "caught": {kind: float((score(found) > wider).mean()) for kind, found in positives.items()},
        }
    return rows, spared


def _names_of_flagged(
    positives: dict[str, Outputs], scores: dict[str, Score], thresholds: dict[str, float]
) -> list[str]:
    name = _OURS
    lines = []
    for kind, found in positives.items():
        values = scores[name](found)
        lines.append(
            f"{kind}: {int((values > thresholds[name]).sum())} of {len(values)} flagged, scores "
            f"{values.min():.1f} to {values.max():.1f}, limit {thresholds[name]:.1f}"
        )
    return lines


def _batches(images: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    batch: list[np.ndarray] = []
    for image in images:
        batch.append(image)
        if len(batch) == _BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def _joined(parts: list[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _open(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    main()
