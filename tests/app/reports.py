"""A real report on a hand-made model: measured by the evaluation's own code on made-up answers."""

from pathlib import Path

import numpy as np

from lesion_core.evaluation.measurement import Scored, measure_scores
from lesion_core.evaluation.report import METRICS_NAME, Metrics, Subject
from lesion_core.keys import digest_of, report_key
from lesion_core.labels import CLASS_ORDER
from lesion_core.refs import ModelRef
from lesion_core.stores.folders import publish
from lesion_core.stores.protocol import Store


def publish_report(store: Store, model: ModelRef, scratch: Path, *, seed: int = 3) -> Metrics:
    """Publish a report with the numbers that random answers get; return them."""
    metrics = measure(model, seed=seed)
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / METRICS_NAME).write_text(metrics.model_dump_json())
    accuracy = metrics.balanced_accuracy
    summary = {
        "model": model.model_dump(mode="json"),
        "dataset": model.dataset.model_dump(mode="json"),
        "split": "test",
        "balanced_accuracy": accuracy.value,
        "balanced_accuracy_low": accuracy.low,
        "balanced_accuracy_high": accuracy.high,
        "chance": metrics.chance,
        "n_images": metrics.subject.n_images,
    }
    inputs = {"model": model.id, "seed": seed}
    key = report_key(model.id, digest_of(inputs))
    publish(store, key, scratch, step="evaluate", step_version=1, inputs=inputs, summary=summary)
    return metrics


def measure(model: ModelRef, *, seed: int) -> Metrics:
    """Measure answers that are right about half of the time."""
    random = np.random.default_rng(seed)
    class_index = random.integers(0, 8, 240)
    probs = random.dirichlet(np.ones(8), 240)
    probs[np.arange(240), class_index] += random.uniform(0, 0.7, 240)
    probs /= probs.sum(axis=1, keepdims=True)
    subject = Subject(
        model_id=model.id,
        model_sha256=model.sha256,
        recipe=model.recipe,
        dataset_id=model.dataset.id,
        dataset_sha256=model.dataset.sha256,
        training_dataset_id=model.dataset.id,
        split="test",
        n_images=240,
        n_groups=240,
        classes_present=tuple(CLASS_ORDER),
        absent_classes=(),
        synthetic=model.synthetic,
        licence="CC-BY-NC",
        n_bootstrap=100,
        seed=7,
        step_version=1,
    )
    groups = np.array([f"g{number}" for number in range(240)])
    return measure_scores(Scored(class_index=class_index, probs=probs, groups=groups), subject, temperature=1.0)
