"""Evaluation of a model as it will be served."""

from prefect import task

from lesion_core import jobs
from lesion_core.evaluation.card import current_card
from lesion_core.evaluation.output_key import report_key_of
from lesion_core.evaluation.report import read_left_out, read_metrics, read_remarks, report_address
from lesion_core.evaluation.spec import EvaluateJob, Split
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.registry.change_history import changes_of
from lesion_core.stores.folders import read_file
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT

_FIGURES = (
    ("Confusion matrix", "confusion_matrix"),
    ("ROC curves, one class against the rest", "roc"),
    ("Misclassified test images", "misclassified"),
)


_MAX_LEFT_OUT = 1000


@task(name="evaluate-model", **RETRY_TRANSIENT)
def evaluate_model(
    model: ModelRef,
    dataset: DatasetRef,
    split: Split = "test",
    reason: str = "",
    companions: tuple[str, ...] | None = None,
    analyses: bool = True,
) -> ReportRef:
    """Evaluate a model on a split of a dataset, of its fold where it has one, in a child process.

    With ``companions``, test images that another version of the recipe was measured on are refused. Without
    ``analyses``, scores alone are measured.
    """
    job = EvaluateJob(
        model=model, dataset=dataset, split=split, reason=reason, companions=companions, analyses=analyses
    )
    with publish.progress("evaluation-progress", model.id) as on_progress:
        return jobs.run(
            "evaluate", job, ReportRef, key=report_key_of(job), settings=read_settings(), on_progress=on_progress
        )


@task(name="publish-evaluation", **RETRY_TRANSIENT)
def publish_evaluation(report: ReportRef) -> None:
    """Show a report's numbers, figures and card."""
    store = open_store()
    metrics = read_metrics(store, report)
    title = f"{report.model.id} on the {metrics.subject.split_in_words} of {report.dataset.id}"
    publish.table(publish.EVAL_METRICS, metrics.headline_rows(), title)
    publish.table(publish.EVAL_PER_CLASS, metrics.class_rows(), title)
    figures = [(caption, read_file(store, report, f"figures/{name}.png")) for caption, name in _FIGURES]
    publish.images(publish.EVAL_FIGURES, figures, title)
    address = report_address(store, report)
    publish.markdown(
        publish.EVAL_REMARKS, publish.bullets(read_remarks(store, report)), f"{title}; all of it: {address}"
    )
    publish.markdown(publish.MODEL_CARD, current_card(store, report, changes_of(store, report.model)), title)


@task(name="publish-left-out", **RETRY_TRANSIENT)
def publish_left_out(report: ReportRef) -> None:
    """Show which images of an external test set were not measured, and why."""
    store = open_store()
    external = read_metrics(store, report).subject.external
    rows = read_left_out(store, report)
    labels = "; ".join(one.in_words() for one in external.labels) if external else ""
    publish.table(
        publish.LEFT_OUT,
        rows[:_MAX_LEFT_OUT],
        f"{len(rows):,} images of {report.external} left out, {report.n_images:,} measured; {labels}",
    )
