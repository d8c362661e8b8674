"""What an explanation costs: ``python -m benchmarks.explanations [--model FOLDER …]``.

An answer with its map and shares (``serving.predictor.explain_answer``), one image at a time as the page asks for it,
against one prediction of the same model in the same run. A ratio of 0.5 means: half as many in the same time, an
explanation costs two predictions. At most three are allowed for a model with an evidence map. Drawing a map over the
image at the page's size takes the same time whatever the model and is measured by itself. Without ``--model`` the
networks of ``BACKBONES`` with random weights are exported; a model folder that is given is measured as it is.
"""

import argparse
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import compare, write_result
from lesion_core.labels import Sex, Site
from lesion_core.recipes.recipe import Recipe
from lesion_core.serving.model_folder import vocabulary
from lesion_core.serving.overlays import lay_over, scale_of_maps
from lesion_core.serving.predictor import Predictor, explain_answer
from lesion_core.serving.what_if import inputs_of
from lesion_core.types import PatientMetadata

BACKBONES = {"tiny": 128, "efficientnet-lite0": 224}  # side in pixels
MOST_PREDICTIONS = 3.0  # that an explanation with an evidence map may cost
PATIENT = PatientMetadata(age_years=55, sex=Sex.FEMALE, site=Site.PALMS_SOLES)
_SHOWN_PX = 384  # as on the page


def main() -> None:
    """Measure, write ``docs/results/explanations.json``, and end with 1 where an evidence map costs too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", default=[], help="a model's folder; may be repeated")
    parser.add_argument("--images", type=int, default=8, help="asked one by one in a measurement")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    measurements, rows, dear = [], [], []
    with tempfile.TemporaryDirectory() as place:
        folders = asked.model or [_export(name, side, Path(place)) for name, side in BACKBONES.items()]
        for folder in folders:
            predictor = Predictor.load(folder, model_id=folder.name)
            images = _images(predictor.preprocessing.size_px, asked.images)
            answer = explain_answer(predictor, images[0], PATIENT)
            kind, maps = answer.map_kind, answer.maps
            drawn = per_second(lambda image, maps=maps: _draw(image, maps), images)()
            result = compare(
                f"{folder.name}, {kind} map",
                "one prediction",
                "images",
                ours=per_second(lambda image, of=predictor: explain_answer(of, image, PATIENT), images),
                theirs=per_second(lambda image, of=predictor: of.predict(image[None], inputs_of([PATIENT])), images),
                rounds=asked.rounds,
            ).row()
            cost = 1 / result["ratio_median"]
            if kind == "evidence" and cost > MOST_PREDICTIONS:
                dear.append(f"{folder.name}: {cost:.2f}")
            measurements.append({**result, "predictions_per_explanation": cost, "maps_drawn_per_second": drawn})
            rows.append(
                [
                    folder.name,
                    f"{kind}, {predictor.preprocessing.size_px} px",
                    f"{1000 / result['ours_median']:.1f} ms",
                    f"{1000 / result['theirs_median']:.1f} ms",
                    f"{cost:.2f} ({1 / result['ratio_max']:.2f} to {1 / result['ratio_min']:.2f})",
                    f"{1000 / drawn:.1f} ms",
                ]
            )
    header = [
        "model",
        "map",
        "answer with map",
        "one prediction",
        "predictions that an explanation costs",
        "one map drawn",
    ]
    content = {
        "most_predictions": MOST_PREDICTIONS,
        "comparisons": measurements,
        "table": {"header": header, "rows": rows},
    }
    print(
        write_result("explanations", shlex.join(["python", "-m", "benchmarks.explanations", *sys.argv[1:]]), content)
    )
    if dear:
        sys.exit(f"expected at most {MOST_PREDICTIONS:g} predictions for an explanation, got {', '.join(dear)}")


def per_second(work: Callable[[np.ndarray], object], images: np.ndarray) -> Callable[[], float]:
    """Return a measurement: images one by one, the median time turned into a rate."""

    def measure() -> float:
        seconds = []
        for image in images:
            started = time.perf_counter()
            work(image)
            seconds.append(time.perf_counter() - started)
        return 1 / statistics.median(seconds)

    return measure


def _draw(image: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return one map over the image, as the page shows it."""
    return lay_over(image, maps[..., 0], scale_of_maps(maps), side_px=_SHOWN_PX)


def _images(size_px: int, n: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (n, size_px, size_px, 3), dtype=np.uint8)


def _export(backbone: str, size_px: int, place: Path) -> Path:
    """Write the folder of an untrained network with the additive head."""
    from lesion_core.modeling.network.export import export_onnx  # TensorFlow is loaded only where it is needed
    from lesion_core.modeling.network.network import build_network

    recipe = Recipe.model_validate({"name": "explained", "backbone": backbone, "weights": "none", "size_px": size_px})
    folder = place / backbone
    folder.mkdir()
    contents = {
        "labels.json": vocabulary(),
        "preprocessing.json": {"size_px": size_px, "resize": "squash", "version": 1},
        "calibration.json": {"method": "temperature", "temperature": 1.0},
        "provenance.json": {"licence": "CC-0", "synthetic": True, "n_train_images": 0},
        "recipe.json": recipe.model_dump(mode="json"),
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    export_onnx(build_network(recipe), folder / "model.onnx")
    return folder


if __name__ == "__main__":
    main()
