"""What views and members cost in an answer: ``python -m benchmarks.answers RECIPE``.

The recipe's network, with random weights, is exported once for each number of views and networks, and asked as the
page asks it, through ONNX Runtime. The peer is the same network alone with a single view, in the same run. A ratio of
0.25 means: a quarter of its answers in the same time.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import compare, write_result
from lesion_core.fields.table import FIELDS
from lesion_core.labels import Sex, Site
from lesion_core.modeling.network.ensemble import as_ensemble, member_name
from lesion_core.modeling.network.export import export_onnx
from lesion_core.modeling.network.network import build_network
from lesion_core.modeling.network.test_time_augmentation import with_test_time_augmentation
from lesion_core.recipes.recipe import Recipe, choose_recipe
from lesion_core.serving.predictor import OnnxModel
from lesion_core.settings import LesionSettings
from lesion_core.types import PatientMetadata

KINDS = ((1, 4), (1, 8), (2, 1), (2, 8))  # networks, views


def main() -> None:
    """Measure, and write ``docs/results/answers.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--images", type=int, default=8, help="asked one by one in a measurement")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    recipe = choose_recipe(asked.recipe, LesionSettings().recipes).model_copy(update={"weights": "none"})
    measurements, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        single = answers_per_second(_export(recipe, Path(folder), 1, 1), recipe.size_px, asked.images)
        for members, views in KINDS:
            result = compare(
                f"{members} × {views} views",
                "one network, one view",
                "answers",
                ours=answers_per_second(_export(recipe, Path(folder), members, views), recipe.size_px, asked.images),
                theirs=single,
                rounds=asked.rounds,
            ).row()
            measurements.append(result)
            rows.append(
                [
                    str(members),
                    str(views),
                    f"{1000 / result['ours_median']:.0f} ms",
                    f"{1000 / result['theirs_median']:.0f} ms",
                    f"{result['ratio_median']:.2f} ({result['ratio_min']:.2f} to {result['ratio_max']:.2f})",
                ]
            )
    content = {
        "network": f"{recipe.backbone}, {recipe.size_px} px, {recipe.fusion}",
        "comparisons": measurements,
        "table": {"header": ["networks", "views", "one answer", "one network, one view", "ratio"], "rows": rows},
    }
    print(write_result("answers", f"python -m benchmarks.answers {shlex.join(sys.argv[1:])}", content))


def answers_per_second(model: OnnxModel, size_px: int, n_images: int) -> Callable[[], float]:
    """Return a measurement: images asked one by one, the median time of an answer turned into a rate."""
    generator = np.random.default_rng(7)
    images = generator.integers(0, 256, (n_images, 1, size_px, size_px, 3), dtype=np.uint8)
    patient = PatientMetadata(age_years=55, sex=Sex.FEMALE, site=Site.PALMS_SOLES)
    metadata = {field.input: np.array([field.encode(getattr(patient, field.name))]) for field in FIELDS}

    def measure() -> float:
        seconds = []
        for image in images:
            started = time.perf_counter()
            model.run(image, metadata)
            seconds.append(time.perf_counter() - started)
        return 1 / statistics.median(seconds)

    return measure


def _export(recipe: Recipe, folder: Path, n_members: int, n_views: int) -> OnnxModel:
    networks = [build_network(recipe, name=member_name(number, n_members)) for number in range(n_members)]
    path = folder / f"{n_members}-{n_views}.onnx"
    export_onnx(with_test_time_augmentation(as_ensemble(networks), n_views), path)
    return OnnxModel(path)


if __name__ == "__main__":
    main()
