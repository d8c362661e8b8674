"""Measure a registered model on images of elsewhere."""

from prefect import flow

from lesion_core.dataset.options import PrepareOptions
from lesion_core.isic.external.labels import ExternalTest
from lesion_core.refs import ReportRef
from tasks.dataset import prepare_dataset
from tasks.evaluation import evaluate_model, publish_evaluation, publish_left_out
from tasks.ingest import read_external_folder
from tasks.registry import find_model


@flow(name="external-test", flow_run_name="external-test-{test.name}")
def external_test_flow(test: ExternalTest, model_id: str | None = None) -> ReportRef:
    """Evaluate a model on a folder of labelled images that it was not made from.

    The folder's images become a dataset of test images alone, under the test's own name. What the labels stand for is
    stated; what stands for none of the classes is left out by name. Images that the model, or one it started or
    learnt from, was made from are left out too: the same id, bytes, lesion or patient, near-duplicates, and the
    groups of all these. Report, card and figures are as of an internal test; the gate never reads them.

    Args:
        test: The folder, its name as a test set, and what its labels mean.
        model_id: A model's id, such as ``isic-quick/0f3a9c1d22b4``; empty means the approved model.

    Raises:
        ConfigError: What the labels mean is not understood, or contradicts itself.
        ManifestError: The folder has no table, or not one image of it can be used.
        DataError: The model was made from every image of it.
    """
    model = find_model(model_id)
    snapshot = read_external_folder(test)
    dataset = prepare_dataset(snapshot, PrepareOptions.for_external_test(test.dataset, model))
    report = evaluate_model(model, dataset)
    publish_evaluation(report)
    publish_left_out(report)
    return report
