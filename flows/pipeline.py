"""From the archive to an approved model."""

from prefect import flow

from flows.evaluate import assess
from flows.ingest import bring_images
from lesion_core.dataset.options import PrepareOptions
from lesion_core.isic.source import ArchiveSource
from lesion_core.recipes.recipe import Recipe
from lesion_core.registry.approval import ApprovalRequest
from lesion_core.registry.channels import ChannelState
from tasks.dataset import prepare_dataset, publish_data_report
from tasks.registry import approve_model, nominate_model
from tasks.training import load_recipe, train_model


@flow(name="pipeline", flow_run_name="pipeline", persist_result=True, result_serializer="json")
def pipeline_flow(
    source: ArchiveSource,
    recipe: Recipe | str = "isic-quick",
    splits: PrepareOptions = PrepareOptions(),
    approver: str = "pipeline",
    reason: str = "Passed the gate in the pipeline.",
) -> ChannelState | None:
    """Ingest, prepare, train, evaluate, and approve what passes the gate.

    Images come from the archive or a mirror of it. Lesions, patients and near-duplicates stay on one side of each
    split. The network is trained in a child process, evaluated once on the test split as it will be served, and
    compared with the approved model on the same images. Each step's output is addressed by what it depends on,
    so a rerun with the same inputs recomputes nothing.

    Args:
        source: Which images.
        recipe: What to train: the recipe itself, a name in the recipes folder, or a YAML file's path.
        splits: Shares and seed of the splits; name, size and colour constancy follow the recipe.
        approver: Who answers for the approval.
        reason: Why; kept in the channel's history.

    Raises:
        GateNotPassed: The model failed a check; what was approved before stays.
    """
    recipe = load_recipe(recipe)
    snapshot = bring_images(source, recipe.dataset)
    dataset = prepare_dataset(snapshot, splits.for_recipe(recipe.dataset, recipe.size_px, recipe.colour_constancy))
    publish_data_report(dataset)
    model = train_model(recipe, dataset)
    decision = assess(model, dataset, recipe.gate)
    nominate_model(decision)
    return approve_model(ApprovalRequest(model_id=model.id, decision="approve", approver=approver, reason=reason))
