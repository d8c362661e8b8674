"""Small real model folders, built with ONNX's own graph API: the serving path without a training."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lesion_core.keys import digest_of, model_key
from lesion_core.labels import CLASS_ORDER, SEX_ORDER, SITE_ORDER, Diagnosis
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.stores.folders import publish
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder

SIZE_PX = 64
CELLS = 8
Fusion = Literal["additive", "concat", "film", "none"]


def write_model_folder(
    folder: Path,
    *,
    favours: Diagnosis = Diagnosis.NV,
    fusion: Fusion = "additive",
    temperature: float = 1.5,
    synthetic: bool = True,
    seed: int = 7,
    ood: dict[str, Any] | None = None,
) -> Path:
    """Write a complete model folder whose answers lean towards one class; return it.

    With ``ood``, fields of its ood.json, it also gives an out-of-distribution score: the mean pixel, 0 to 255.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graph = build_graph(favours=favours, fusion=fusion, seed=seed, has_score=ood is not None)
    onnx.save(graph, str(folder / "model.onnx"))
    recipe = Recipe(name="hand-made", backbone="tiny", weights="none", size_px=SIZE_PX, fusion=fusion, seed=seed)
    contents = {
        "labels.json": {
            "class_order": list(CLASS_ORDER),
            "sex_order": list(SEX_ORDER),
            "site_order": list(SITE_ORDER),
        },
        "preprocessing.json": {"size_px": SIZE_PX, "resize": "squash", "version": 1},
        "calibration.json": {
            "method": "temperature",
            "temperature": temperature,
            "prior": "flat",
            "n_images": 80,
            "nll_before": 1.9,
            "nll_after": 1.7,
        },
        "operating_points.json": {"points": [_point(name, wanted) for name in _DECISIONS for wanted in (0.9, 0.95)]},
        "conformal.json": {
            "levels": [{"coverage": one, "thresholds": [0.2 * (1 - one)] * 8} for one in (0.8, 0.9, 0.95)],
            "n_groups": [30] * 6 + [8, 9],
            "pooled": ["VASC", "SCC"],
        },
        "provenance.json": {
            "dataset": {"id": "hand-made/000000000000"},
            "licence": "CC-BY-NC",
            "attributions": ["A hospital"],
            "synthetic": synthetic,
            "n_train_images": 640,
            "class_counts": {"train": {str(item): 80 for item in CLASS_ORDER}},
            "absent_classes": [],
            "start_from": None,
        },
        "recipe.json": recipe.model_dump(mode="json"),
    }
    if ood is not None:
        contents["ood.json"] = {"layer": "pixels", "n_fit": 640, "n_calibration": 80, "false_alarm_rate": 0.05} | ood
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    return folder


_DECISIONS = ("refer", "cannot exclude malignancy", "cannot exclude melanoma")


def _point(decision: str, wanted: float) -> dict[str, Any]:
    """Return an operating point; the most cautious one has too few images for a promise."""
    stated = {"decision": decision, "wanted": wanted, "confidence": 0.9, "n_groups": 30}
    if wanted > 0.9:
        return {**stated, "threshold": None, "reason": "30 groups; a sensitivity of 95% needs 45"}
    return {**stated, "threshold": 0.05}


def build_graph(*, favours: Diagnosis, fusion: Fusion, seed: int, has_score: bool = False) -> onnx.ModelProto:
    """Build the graph: colour averages of 8 × 8 cells → 1 × 1 convolution → mean, plus a linear metadata term."""
    random = np.random.default_rng(seed)
    bias = np.zeros(8, np.float32)
    bias[CLASS_ORDER.index(favours)] = 3.0
    constants = {
        "kernel": random.normal(0, 4, (8, 3, 1, 1)),
        "bias": bias,
        "age_weights": random.normal(0, 2, (1, 8)),
        "sex_table": random.normal(0, 1, (1 + len(SEX_ORDER), 8)),
        "site_table": random.normal(0, 1, (1 + len(SITE_ORDER), 8)),
        "full_scale": np.array(255.0),
        "century": np.array(100.0),
        "zero": np.array(0.0),
    }
    initializers = [numpy_helper.from_array(np.asarray(v, np.float32), name) for name, v in constants.items()]
    initializers.append(numpy_helper.from_array(np.array([1], np.int64), "age_axis"))
    cell = SIZE_PX // CELLS
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        node("Div", ["pixels", "full_scale"], ["scaled"]),
        node("Transpose", ["scaled"], ["channels_first"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["channels_first"], ["cells"], kernel_shape=[cell, cell], strides=[cell, cell]),
        node("ReduceMean", ["cells"], ["embedding"], axes=[2, 3], keepdims=0),
        node("Conv", ["cells", "kernel"], ["evidence_first"], kernel_shape=[1, 1]),
        node("ReduceMean", ["evidence_first"], ["image_logits"], axes=[2, 3], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE_PX, SIZE_PX, 3])]
    outputs = ["logits", "embedding"]
    if fusion == "none":
        nodes.append(node("Mul", ["image_logits", "zero"], ["no_metadata"]))
        nodes.append(node("Add", ["no_metadata", "bias"], ["metadata_logits"]))
    else:
        nodes += _metadata_nodes()
        nodes += _interaction_nodes() if fusion == "film" else []
        inputs += [
            helper.make_tensor_value_info("age_years", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("sex_code", TensorProto.INT32, ["n"]),
            helper.make_tensor_value_info("site_code", TensorProto.INT32, ["n"]),
        ]
    interaction = ["interaction_logits"] if fusion == "film" else []
    nodes.append(node("Sum", ["image_logits", "metadata_logits", *interaction], ["logits"]))
    if has_score:
        nodes.append(node("ReduceMean", ["cells"], ["brightness"], axes=[1, 2, 3], keepdims=0))
        nodes.append(node("Mul", ["brightness", "full_scale"], ["ood_score"]))
        outputs.append("ood_score")
    if fusion != "concat":
        nodes.append(node("Transpose", ["evidence_first"], ["evidence"], perm=[0, 2, 3, 1]))
        outputs += ["evidence", "metadata_logits", *interaction]
    shapes: dict[str, list[str | int | None]] = {
        "logits": ["n", 8],
        "embedding": ["n", 3],
        "evidence": ["n", CELLS, CELLS, 8],
        "metadata_logits": ["n", 8],
        "interaction_logits": ["n", 8],
        "ood_score": ["n"],
    }
    graph = helper.make_graph(
        nodes,
        "hand-made",
        inputs,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _metadata_nodes() -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("IsNaN", ["age_years"], ["age_unknown"]),
        node("Div", ["age_years", "century"], ["age_scaled"]),
        node("Where", ["age_unknown", "zero", "age_scaled"], ["age_filled"]),
        node("Unsqueeze", ["age_filled", "age_axis"], ["age_column"]),
        node("MatMul", ["age_column", "age_weights"], ["age_logits"]),
        node("Gather", ["sex_table", "sex_code"], ["sex_logits"]),
        node("Gather", ["site_table", "site_code"], ["site_logits"]),
        node("Sum", ["age_logits", "sex_logits", "site_logits", "bias"], ["metadata_logits"]),
    ]


def _interaction_nodes() -> list[onnx.NodeProto]:
    """What the image says times what age says: 0 where age is unknown, as a gate's share is."""
    return [helper.make_node("Mul", ["image_logits", "age_logits"], ["interaction_logits"])]


def publish_model(store: Store, scratch: Path, **options: Any) -> ModelRef:
    """Publish a hand-made model version in a store, as a training does; ``options`` as for ``write_model_folder``."""
    dataset = DatasetRef(
        id="hand-made/000000000000",
        key="datasets/hand-made/000000000000",
        sha256="0" * 64,
        n_images=800,
        n_groups=600,
        size_px=SIZE_PX,
        licence="CC-BY-NC",
        synthetic=bool(options.get("synthetic", True)),
    )
    inputs = {key: str(value) for key, value in options.items()}
    key = model_key("hand-made", digest_of(inputs))
    summary = {"recipe": "hand-made", "dataset": dataset.model_dump(mode="json"), "synthetic": dataset.synthetic}
    source = write_model_folder(scratch / digest_of(inputs), **options)
    index, sha256 = publish(store, key, source, step="train", step_version=1, inputs=inputs, summary=summary)
    return ref_from_folder(ModelRef, key, index, sha256)
