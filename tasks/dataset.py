"""From a snapshot to a certified, recorded dataset."""

from prefect import task

from lesion_core import jobs
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import latest_dataset, prepare
from lesion_core.dataset.records import open_dataset
from lesion_core.dataset.summary import DatasetSummary, describe
from lesion_core.dataset_report.spec import (
    TABLES_NAME,
    DataReportJob,
    DataReportRef,
    data_report_key_of,
    figures_in,
    page_address,
)
from lesion_core.labels import CLASS_ORDER
from lesion_core.recipes.datasets import choose_dataset
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, SnapshotRef
from lesion_core.stores.folders import read_file
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT


@task(name="prepare-dataset", **RETRY_TRANSIENT)
def prepare_dataset(snapshot: SnapshotRef, options: PrepareOptions) -> DatasetRef:
    """Group, split, certify and record a snapshot."""
    store, work = open_store(), read_settings().work
    with publish.progress("prepare-progress", f"{options.name}, {options.size_px} px") as on_progress:
        dataset = prepare(snapshot, options, store, workdir=work, on_progress=on_progress)
    summary = describe(open_dataset(store, dataset, work))
    publish.table(publish.DATASET_SUMMARY, _class_rows(summary), _in_words(summary))
    return dataset


def _class_rows(summary: DatasetSummary) -> list[publish.Row]:
    return [{"class": name, **{split: n.get(name, 0) for split, n in summary.images.items()}} for name in CLASS_ORDER]


def _in_words(summary: DatasetSummary) -> str:
    absent = f"; absent: {', '.join(summary.absent_classes)}" if summary.absent_classes else ""
    return (
        f"{summary.dataset.id}: {summary.dataset.n_images} images in {summary.dataset.n_groups} independent groups, "
        f"{summary.n_quarantined} quarantined{absent}"
    )


@task(name="publish-data-report", **RETRY_TRANSIENT)
def publish_data_report(dataset: DatasetRef) -> DataReportRef:
    """Report on a dataset in a child process, and show its figures, tables and remarks."""
    job, store = DataReportJob(dataset=dataset), open_store()
    key, settings = data_report_key_of(job), read_settings()
    with publish.progress("data-report-progress", dataset.id) as on_progress:
        report = jobs.run("data-report", job, DataReportRef, key=key, settings=settings, on_progress=on_progress)
    figures = [(shown.heading, read_file(store, report, shown.file_name)) for shown in figures_in(store, report)]
    tables = read_file(store, report, TABLES_NAME).decode()
    publish.markdown(
        publish.DATA_REPORT,
        f"{tables}\n\n{publish.images_as_markdown(figures)}",
        f"{dataset.id}; the same as one file: {page_address(store, report)}",
    )
    return report


@task(name="find-dataset", **RETRY_TRANSIENT)
def find_dataset(name: str) -> DatasetRef:
    """Return the newest complete dataset of this name, whatever its size."""
    return latest_dataset(open_store(), name)


@task(name="find-dataset-for-recipe", **RETRY_TRANSIENT)
def find_dataset_for(recipe: Recipe, name: str | None = None) -> DatasetRef:
    """Return the newest complete dataset of the size and the colours that a recipe asks for, of its name or this."""
    return choose_dataset(recipe, open_store(), name)
