"""What the out-of-distribution score costs a model's file: ``python -m benchmarks.out_of_distribution_cost``.

The same untrained network is exported without and with the frozen part; export, file and one answer are compared, in
processor time of one thread, which other work on the machine changes little.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import Comparison, compare, write_result
from lesion_core.fields.table import FIELDS
from lesion_core.modeling.network.export import add_network, export_onnx
from lesion_core.modeling.network.network import build_network
from lesion_core.modeling.network.out_of_distribution import N_FEATURES, frozen_features, scorer
from lesion_core.modeling.network.test_time_augmentation import with_test_time_augmentation
from lesion_core.recipes.recipe import Recipe
from lesion_core.serving.predictor import OnnxModel

CASES = (("efficientnet-lite0", 128, 1), ("efficientnet-lite0", 160, 8), ("efficientnet-lite2", 260, 1))
_ANSWERS, _ROUNDS = 10, 5


def main() -> None:
    """Measure and write ``out-of-distribution-cost.json``."""
    rows = []
    for backbone, size_px, n_views in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(
                [f"{backbone}, {size_px} px, {n_views} views", *_cells(backbone, size_px, n_views, Path(folder))]
            )
    header = [
        "network",
        "export, with : without",
        "file, with : without",
        "one answer, with : without (lowest to highest)",
    ]
    result = {"table": {"header": header, "rows": rows}}
    print(write_result("out-of-distribution-cost", "python -m benchmarks.out_of_distribution_cost", result))
    print(*rows, sep="\n")


def _cells(backbone: str, size_px: int, n_views: int, folder: Path) -> list[str]:
    recipe = Recipe(name="cost", backbone=backbone, weights="none", size_px=size_px)  # type: ignore[arg-type]
    served = with_test_time_augmentation(build_network(recipe), n_views)
    plain, scored = folder / "plain.onnx", folder / "scored.onnx"
    export_seconds = _seconds(lambda: export_onnx(served, plain))
    scored.write_bytes(plain.read_bytes())
    added_seconds = _seconds(lambda: _add(scored, size_px))
    answers = _compare(OnnxModel(scored, threads=1), OnnxModel(plain, threads=1), size_px)
    ratios = sorted(1 / ratio for ratio in answers.ratios)
    return [
        f"{(export_seconds + added_seconds) / export_seconds:.2f}",
        f"{scored.stat().st_size / plain.stat().st_size:.2f}",
        f"{ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
    ]


def _add(path: Path, size_px: int) -> None:
    add_network(path, scorer(frozen_features(size_px), np.zeros(N_FEATURES), np.eye(N_FEATURES)))


def _compare(scored: OnnxModel, plain: OnnxModel, size_px: int) -> Comparison:
    image = np.random.default_rng(0).integers(0, 256, (1, size_px, size_px, 3), dtype=np.uint8)
    unknown = {field.input: np.full(1, field.encode(None), field.dtype) for field in FIELDS}

    def rate(model: OnnxModel) -> float:
        return _ANSWERS / _seconds(lambda: [model.run(image, unknown) for _ in range(_ANSWERS)])

    return compare(
        "with the score", "without", "answers", ours=lambda: rate(scored), theirs=lambda: rate(plain), rounds=_ROUNDS
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
