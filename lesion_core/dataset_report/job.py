"""The child that writes a report on a dataset: figures, tables, and what to beware of.

The images in it come from the records, so they are what a network sees, and from the train split, so that nobody
gets to know the test images by heart.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from lesion_core.dataset.breakdown import break_down
from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.dataset.proof.certificate import read_certificate
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.dataset.summary import describe
from lesion_core.dataset_report.content import SAMPLED_SPLIT, DataSummary
from lesion_core.dataset_report.gallery import write_figures
from lesion_core.dataset_report.page import write_page, write_tables
from lesion_core.dataset_report.spec import (
    PAGE_NAME,
    STEP,
    STEP_VERSION,
    SUMMARY_NAME,
    TABLES_NAME,
    DataReportJob,
    DataReportRef,
    data_report_inputs,
    data_report_key_of,
)
from lesion_core.errors import ArtifactCorrupt
from lesion_core.keys import id_of
from lesion_core.labels import CLASS_ORDER
from lesion_core.progress import ProgressCallback, Tally
from lesion_core.stores.folders import publish, read_file
from lesion_core.stores.making import emptied, make_once
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import StoreKey

N_SAMPLES = 8


def run(spec: dict[str, Any], *, store: Store, workdir: Path, on_progress: ProgressCallback) -> DataReportRef:
    """Write the report that ``spec`` (a ``DataReportJob``) describes, or return it where it was made before.

    Raises:
        ArtifactNotFound: The dataset is not in the store.
        ArtifactCorrupt: Its bytes are not those that were published.
        ManifestError: Its tables break their schema.
        StoreError: The store could not be read or written.
    """
    job = DataReportJob.model_validate(spec)
    key = data_report_key_of(job)
    scratch = workdir / STEP / id_of(key)

    def make() -> DataReportRef:
        dataset = open_dataset(store, job.dataset, workdir / "datasets", on_progress)
        return _make(job, dataset, store, key, emptied(scratch), on_progress)

    return make_once(store, DataReportRef, key, scratch, make)


def read_data_summary(store: Store, report: DataReportRef) -> DataSummary:
    """Return the numbers of a report.

    Raises:
        ArtifactNotFound: It is not in the store.
        ArtifactCorrupt: Its bytes are not those that were published, or no summary of this version.
    """
    body = read_file(store, report, SUMMARY_NAME)
    try:
        return DataSummary.model_validate_json(body)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected a summary of a dataset in {report.key}/{SUMMARY_NAME}, got something else "
            f"({error.error_count()} fields wrong); it was made by another version: make the report again",
            key=f"{report.key}/{SUMMARY_NAME}",
            expected="DataSummary",
            actual="other JSON",
        ) from error


def _make(
    job: DataReportJob,
    dataset: OpenDataset,
    store: Store,
    key: StoreKey,
    folder: Path,
    on_progress: ProgressCallback,
) -> DataReportRef:
    tally = Tally(on_progress, "data report", 3)
    with tally.part("counting"):
        content, manifest, samples = _content(job, dataset)
    with tally.part("figures"):
        write_figures(folder / "figures", content, manifest, samples)
    with tally.part("tables and page"):
        (folder / SUMMARY_NAME).write_text(content.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (folder / TABLES_NAME).write_text(write_tables(content), encoding="utf-8")
        (folder / PAGE_NAME).write_text(write_page(content, folder), encoding="utf-8")
    index, sha256 = publish(
        store,
        key,
        folder,
        step=STEP,
        step_version=STEP_VERSION,
        inputs=data_report_inputs(job),
        summary={"dataset": dataset.ref.model_dump(mode="json")},
        on_progress=on_progress,
    )
    return ref_from_folder(DataReportRef, key, index, sha256)


def _content(job: DataReportJob, dataset: OpenDataset) -> tuple[DataSummary, pd.DataFrame, dict[int, np.ndarray]]:
    """Return the report's numbers, the manifest, and the pixels of the samples by the position of their class."""
    manifest = read_table(dataset.folder / MANIFEST_NAME, MANIFEST_SCHEMA)
    shown = _samples(dataset, job.seed)
    content = DataSummary(
        summary=describe(dataset),
        breakdown=break_down(manifest),
        shortcuts=read_certificate(dataset.folder).shortcuts,
        samples={str(CLASS_ORDER[place]): tuple(rows["isic_id"]) for place, rows in shown.items()},
        seed=job.seed,
    )
    return content, manifest, {place: dataset.pixels(rows) for place, rows in shown.items()}


def _samples(dataset: OpenDataset, seed: int) -> dict[int, pd.DataFrame]:
    """Draw some images of each class, at most one of a group, in a seeded order."""
    rows = dataset.split(SAMPLED_SPLIT)
    order = np.random.default_rng(seed).permutation(len(rows))
    once = rows.iloc[order].drop_duplicates("group")
    return {place: once[once["class_index"] == place].head(N_SAMPLES) for place in range(len(CLASS_ORDER))}
