"""What a training left out (a class, a source), and how its model does on it."""

from prefect import task

from lesion_core import jobs
from lesion_core.evaluation.left_out import source_shift, unknown_class_job
from lesion_core.evaluation.left_out.spec import (
    SourceShiftJob,
    SourceShiftRef,
    UnknownClassJob,
    UnknownClassRef,
    unknown_class_key_of,
)
from lesion_core.labels import Diagnosis
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT


@task(name="measure-unknown-class", **RETRY_TRANSIENT)
def measure_unknown_class(model: ModelRef, dataset: DatasetRef, diagnosis: Diagnosis) -> UnknownClassRef:
    """Measure in a child process how a model treats images of a class that it never learnt, and show it."""
    job, store = UnknownClassJob(model=model, dataset=dataset, diagnosis=diagnosis), open_store()
    key, settings = unknown_class_key_of(job), read_settings()
    with publish.progress("unknown-class-progress", f"{model.id} without {diagnosis}") as on_progress:
        found = jobs.run("unknown-class", job, UnknownClassRef, key=key, settings=settings, on_progress=on_progress)
    metrics = unknown_class_job.read_unknown_class(store, found)
    text = unknown_class_job.summary_of_unknown_class(metrics)
    publish.markdown(publish.UNKNOWN_CLASS, text, f"{model.id} on images of {diagnosis}")
    return found


@task(name="measure-source-shift", **RETRY_TRANSIENT)
def measure_source_shift(internal: ReportRef, elsewhere: ReportRef, source: str) -> SourceShiftRef:
    """Hold a model's numbers on known sources against those on the source that was left out, and show them."""
    store = open_store()
    found = source_shift.measure_source_shift(
        SourceShiftJob(internal=internal, elsewhere=elsewhere, source=source), store
    )
    text = source_shift.summary_of_source_shift(source_shift.read_source_shift(store, found))
    publish.markdown(publish.SOURCE_SHIFT, text, f"{internal.model.id} on the source {source}")
    return found
