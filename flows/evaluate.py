"""Measure a model as it will be served, next to the one that is served now."""

from prefect import flow

from lesion_core.recipes.sections import GatePolicy
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.registry.verdicts import GateDecision
from tasks.dataset import find_dataset
from tasks.evaluation import evaluate_model, publish_evaluation
from tasks.registry import decide_gate, find_approved, find_model


@flow(name="evaluate", flow_run_name="evaluate-{model_id}")
def evaluate_flow(model_id: str | None = None, dataset: str | None = None) -> ReportRef:
    """Evaluate a model on the test split of the newest dataset of a name.

    Args:
        model_id: A model's id, such as ``isic-quick/0f3a9c1d22b4``; empty means the approved model.
        dataset: A dataset's name; empty means the newest of the name the model was trained on.
    """
    model = find_model(model_id)
    report = evaluate_model(model, find_dataset(dataset or model.dataset.name))
    publish_evaluation(report)
    return report


def assess(model: ModelRef, dataset: DatasetRef, policy: GatePolicy) -> GateDecision:
    """Evaluate a model and the approved one on the same images, and decide the gate."""
    report = evaluate_model(model, dataset)
    publish_evaluation(report)
    approved = find_approved()
    against = evaluate_model(approved, dataset) if approved and approved.id != model.id else None
    return decide_gate(report, policy, against)
