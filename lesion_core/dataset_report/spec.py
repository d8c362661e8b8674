"""A report on a dataset: what it is made from, what it is called, and what lies in it.

``data-reports/<dataset>/<digest12>/``: report.html (whole in itself) · tables.md · summary.json (``DataSummary``) ·
figures/*.png · index.json.
"""

from dataclasses import dataclass

from pydantic import Field

from lesion_core.fields.table import SITE, categories, key_of_later
from lesion_core.keys import data_report_key, digest_of
from lesion_core.refs import DatasetRef, Ref
from lesion_core.stores.folders import files_folder, get_index
from lesion_core.stores.protocol import Store
from lesion_core.types import JsonDict, StoreKey, Value

STEP = "data-report"
STEP_VERSION = 4
PAGE_NAME = "report.html"
TABLES_NAME = "tables.md"
SUMMARY_NAME = "summary.json"


class DataReportJob(Value):
    """What the job ``data-report`` gets."""

    dataset: DatasetRef
    seed: int = Field(default=7, ge=0, description="Of the samples")


class DataReportRef(Ref):
    """A report on one dataset."""

    dataset: DatasetRef


@dataclass(frozen=True, slots=True)
class Shown:
    """One figure: its file's stem, its heading, and a sentence on how to read it."""

    name: str
    heading: str
    reading: str

    @property
    def file_name(self) -> str:
        """Where it lies in the report's folder."""
        return f"figures/{self.name}.png"


PEOPLE = tuple(field for field in categories() if field != SITE)  # drawn side by side; the site has its own figure
FIGURES: tuple[Shown, ...] = (
    Shown("classes", "Classes", "Lesions, patients and near-duplicates stay in one split."),
    Shown(
        "samples",
        "Samples",
        "At random from the train split, one of a lesion at most, scaled as the network gets them.",
    ),
    Shown("ages", "Ages", "The archive rounds to five years. An unknown age stays unknown; it is never filled in."),
    Shown(
        "people",
        f"{', '.join(field.title for field in PEOPLE)}, confirmation, licence",
        "Shares of each class; grey is not recorded.",
    ),
    Shown("sites", "Sites", "Where on the body, as shares of each class."),
    Shown(
        "sources",
        "Sources",
        "Which share of a class comes from whom: a class from one source alone may be recognised by its camera.",
    ),
    Shown(
        "missing",
        "What is missing",
        "Shares without a value. Where they differ between classes, the gap itself tells the class.",
    ),
    Shown(
        "sizes",
        "Image sizes",
        "As taken. Size tells the clinic, and the clinic part of the diagnosis: it is never given to a network.",
    ),
    Shown(
        "shortcuts",
        "Shortcuts",
        "What a network may learn instead of the lesion: one small tree for each, cross-validated over the folds. "
        "Right of chance and of the best tree with shuffled classes, there is something to be learnt.",
    ),
)


def data_report_inputs(job: DataReportJob) -> JsonDict:
    """Return everything that a report depends on, JSON-serialisable."""
    return {"dataset": job.dataset.sha256, "seed": job.seed, "step_version": STEP_VERSION, **key_of_later()}


def data_report_key_of(job: DataReportJob) -> StoreKey:
    """Return the folder of the report that ``job`` makes."""
    return data_report_key(job.dataset.name, digest_of(data_report_inputs(job)))


def figures_in(store: Store, report: DataReportRef) -> tuple[Shown, ...]:
    """Return the figures that a report has: what was not measured is not drawn.

    Raises:
        ArtifactNotFound: The report is not in the store.
        ArtifactCorrupt: What is there is another report.
    """
    _, index = get_index(store, report)
    return tuple(shown for shown in FIGURES if shown.file_name in index.files)


def page_address(store: Store, report: DataReportRef) -> str:
    """Return where the page lies: below the digest of the folder's files, as in every folder of the store.

    Raises:
        ArtifactNotFound: The report is not in the store.
        ArtifactCorrupt: What is there is another report.
    """
    return f"{store.url}/{files_folder(*get_index(store, report))}/{PAGE_NAME}"
