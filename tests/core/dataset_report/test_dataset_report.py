"""A report on a dataset: from its tables and records to a page that can be handed on."""

import html.parser
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from lesion_core import jobs
from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.proof.certificate import read_certificate
from lesion_core.dataset.proof.shortcuts import CONFIRMATION, FEATURES, SIZE, SOURCE
from lesion_core.dataset.records import open_dataset
from lesion_core.dataset_report.content import DataSummary, remarks_on, tables_of
from lesion_core.dataset_report.gallery import write_figures
from lesion_core.dataset_report.job import read_data_summary, run
from lesion_core.dataset_report.page import write_page, write_tables
from lesion_core.dataset_report.spec import (
    FIGURES,
    PAGE_NAME,
    SUMMARY_NAME,
    TABLES_NAME,
    DataReportJob,
    DataReportRef,
    data_report_key_of,
    figures_in,
    page_address,
)
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.figures.canvas import SYNTHETIC_MARK
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.refs import DatasetRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import materialise
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import draw, encode, image_row, store_snapshot
from tests.stages import finished_stages

HOSTILE = '<script>alert("x")</script> & Söhne | `$\\alpha` [click](javascript:x)'
CLASSES = ("MEL", "NV", "BCC", "BKL")


@dataclass(frozen=True)
class Reported:
    place: Path
    store: LocalStore
    dataset: DatasetRef
    report: DataReportRef
    folder: Path
    content: DataSummary
    heard: list[Progress]


def _dataset(store: LocalStore, place: Path) -> DatasetRef:
    """Prepare eighty images of four classes; a clinic with a hostile name gives melanomas and nevi only."""
    images = []
    for number in range(80):
        diagnosis = CLASSES[number % 4]
        data = encode(draw(number, 96 if number % 4 < 2 else 120, 72))
        clinic = HOSTILE if number % 4 < 2 else "Clinic B"
        changes = {"diagnosis": diagnosis, "attribution": clinic, "lesion_id": f"IL_{number // 8}_{number % 4}"}
        changes |= {"licence": "CC-BY" if number else "CC-BY-NC", "width": 96 if number % 4 < 2 else 120}
        images.append((image_row(number, data, **changes), data))
    snapshot = store_snapshot(store, images, place / "snapshot", name="small")
    return prepare(snapshot, PrepareOptions(name="small", size_px=32), store, workdir=place / "work")


def _run(
    store: LocalStore, dataset: DatasetRef, place: Path, listen: ProgressCallback = ignore_progress
) -> DataReportRef:
    job = DataReportJob(dataset=dataset)
    return run(job.model_dump(mode="json"), store=store, workdir=place / "work", on_progress=listen)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    place = tmp_path_factory.mktemp("data-report")
    store = LocalStore(place / "store")
    dataset = _dataset(store, place)
    heard: list[Progress] = []
    report = _run(store, dataset, place, heard.append)
    folder = materialise(store, report, place / "cache")
    return Reported(place, store, dataset, report, folder, read_data_summary(store, report), heard)


def test_its_parts_are_reported(reported: Reported) -> None:
    assert list(finished_stages(reported.heard)) == ["fetch dataset", "data report", "publish"]


def test_it_is_complete_and_found_again_under_its_key(reported: Reported) -> None:
    key = data_report_key_of(DataReportJob(dataset=reported.dataset))
    assert reported.report.key == key
    assert re.fullmatch(r"data-reports/small/[0-9a-f]{12}", key)
    names = {path.relative_to(reported.folder).as_posix() for path in reported.folder.rglob("*") if path.is_file()}
    assert names == {PAGE_NAME, TABLES_NAME, SUMMARY_NAME, *(shown.file_name for shown in FIGURES)}
    assert _run(reported.store, reported.dataset, reported.place) == reported.report
    for change in ({"seed": 8}, {"dataset": reported.dataset.model_copy(update={"sha256": "0" * 64})}):
        assert data_report_key_of(DataReportJob(dataset=reported.dataset).model_copy(update=change)) != key


def test_the_page_is_where_its_address_says(reported: Reported) -> None:
    address = page_address(reported.store, reported.report)
    path = Path(address.removeprefix("file://"))
    assert path.read_bytes() == (reported.folder / PAGE_NAME).read_bytes()


def test_a_child_process_makes_the_same_bytes_in_another_store(reported: Reported, tmp_path: Path) -> None:
    shutil.copytree(reported.place / "store" / "datasets", tmp_path / "store" / "datasets")
    settings = LesionSettings(store=str(tmp_path / "store"), work=tmp_path / "work")
    job = DataReportJob(dataset=reported.dataset)
    report = jobs.run("data-report", job, DataReportRef, key=data_report_key_of(job), settings=settings)
    assert (report.key, report.dataset) == (reported.report.key, reported.dataset)
    folder = materialise(LocalStore(tmp_path / "store"), report, tmp_path / "cache")
    for name in (PAGE_NAME, TABLES_NAME, SUMMARY_NAME):
        assert (folder / name).read_bytes() == (reported.folder / name).read_bytes(), name


def test_samples_are_train_images_one_of_a_lesion(reported: Reported) -> None:
    samples = reported.content.samples
    assert [name for name, ids in samples.items() if ids] == ["MEL", "NV", "BCC", "BKL"]
    shown = [isic_id for ids in samples.values() for isic_id in ids]
    lesions = {(int(isic_id[-3:]) // 8, int(isic_id[-3:]) % 4) for isic_id in shown}
    assert len(lesions) == len(shown)
    rows = open_dataset(reported.store, reported.dataset, reported.place / "cache").rows
    assert set(rows.set_index("isic_id").loc[shown, "split"]) == {"train"}


class _Tags(html.parser.HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_whole_in_itself_and_runs_nothing_of_what_it_shows(reported: Reported) -> None:
    page = (reported.folder / PAGE_NAME).read_text(encoding="utf-8")
    found = _Tags()
    found.feed(page)
    assert "script" not in found.tags
    assert "a" not in found.tags
    assert found.tags.count("img") == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; Söhne" in page
    assert "content=\"default-src 'none';" in page
    assert not re.search(r"[\w-]+\.(png|jpe?g)\b", page)  # ids, never names of files


def test_the_tables_hold_their_cells_whatever_an_attribution_says(reported: Reported) -> None:
    text = (reported.folder / TABLES_NAME).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "[click](" not in text
    lines = [line for line in text.splitlines() if line.startswith("| &lt;script")]
    assert len(lines) == 2  # one for each licence of this source
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", line)) == 5  # attribution, licence, images, share
    for table in tables_of(reported.content):
        assert all(len(row) == len(table.header) for row in table.rows)


def test_every_figure_is_an_image(reported: Reported) -> None:
    for shown in FIGURES:
        with Image.open(reported.folder / shown.file_name) as image:
            assert image.format == "PNG"
            assert min(image.size) > 200


def test_it_says_what_a_reader_must_know(reported: Reported) -> None:
    remarks = "\n".join(remarks_on(reported.content))
    assert "No image at all of: Actinic keratosis (AK), Dermatofibroma (DF)" in remarks
    assert "From width and height the class can be determined: balanced accuracy 0." in remarks
    assert "From source the class can be determined: balanced accuracy 0." in remarks
    assert "From confirmation type" not in remarks  # it is the same of all
    assert "gives 40 images, of MEL, NV only" in remarks
    assert "80 of 80 diagnoses (100.0 %) are recorded as confirmed by histopathology" in remarks
    assert "Skin tone is not recorded" in remarks
    page = write_page(reported.content, reported.folder)
    assert "Licence CC-BY-NC, that of its most restricted image (79 CC-BY, 1 CC-BY-NC)" in page
    assert SYNTHETIC_MARK not in page


def test_ids_that_are_none_and_altered_images_are_remarked_on(reported: Reported) -> None:
    assert "placeholder" not in "\n".join(remarks_on(reported.content))
    found = {"placeholders": {"patient_id": {"0": 268, "NA": 2}, "lesion_id": {}}, "manipulations": {"altered": 3}}
    content = reported.content.model_copy(update={"breakdown": reported.content.breakdown.model_copy(update=found)})
    remarks = "\n".join(remarks_on(content))
    assert "In 270 images the patient id is a placeholder ('0', 'NA'). It joins them to nothing" in remarks
    assert "lesion id is a placeholder" not in remarks
    assert "3 of 80 images are recorded as altered" in remarks


def test_the_numbers_of_the_tables_are_those_of_the_dataset(reported: Reported) -> None:
    classes, licences, credits, *_ = tables_of(reported.content)
    assert classes.rows[-2][-1] == "80"
    assert int(classes.rows[-1][-1]) == reported.dataset.n_groups
    assert licences.rows == (("CC-BY", "79", "98.8 %"), ("CC-BY-NC", "1", "1.2 %"))
    assert [row[1:] for row in credits.rows] == [
        ("CC-BY", "40", "50.0 %"),
        ("CC-BY", "39", "48.8 %"),
        ("CC-BY-NC", "1", "1.2 %"),
    ]


def test_shortcuts_are_those_of_the_certificate(reported: Reported) -> None:
    dataset = open_dataset(reported.store, reported.dataset, reported.place / "cache")
    audit = read_certificate(dataset.folder).shortcuts
    assert reported.content.shortcuts == audit
    assert {SIZE, SOURCE} < {one.features for one in audit if one.is_telling} <= set(FEATURES) - {CONFIRMATION}
    rows = tables_of(reported.content)[-1].rows
    assert [row[0] for row in rows] == list(FEATURES)
    for row, one in zip(rows, audit, strict=True):
        assert row[1:4] == tuple(f"{score:.3f}" for score in (one.balanced_accuracy, one.chance, one.shuffled_best))
        assert row[4] == ("yes" if one.is_telling else "no")


def test_whatever_tells_the_class_is_remarked_on(reported: Reported) -> None:
    audit = [one.model_copy(update={"balanced_accuracy": 1.0}) for one in reported.content.shortcuts]
    remarks = "\n".join(remarks_on(reported.content.model_copy(update={"shortcuts": tuple(audit)})))
    for name in FEATURES:
        assert (
            f"From {name} the class can be determined: balanced accuracy 1.000; chance 0.250, best of 19" in remarks
        )


def test_without_an_audit_in_the_certificate_nothing_is_shown_of_it(reported: Reported, tmp_path: Path) -> None:
    content = reported.content.model_copy(update={"shortcuts": ()})
    manifest = read_table(
        open_dataset(reported.store, reported.dataset, reported.place / "cache").folder / MANIFEST_NAME,
        MANIFEST_SCHEMA,
    )
    write_figures(tmp_path / "figures", content, manifest, {})
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {Path(shown.file_name).name for shown in FIGURES} - {"shortcuts.png"}
    page = write_page(content, tmp_path)
    assert page.count("<img ") == len(FIGURES) - 1
    for text in (page, write_tables(content)):
        assert "Shortcuts" not in text
        assert "tells the class without" not in text
        assert "the class can be determined" not in text


def test_the_figures_of_a_report_are_those_that_it_has(reported: Reported) -> None:
    assert figures_in(reported.store, reported.report) == FIGURES


def test_generated_images_are_marked_on_page_and_tables(reported: Reported) -> None:
    marked = reported.dataset.model_copy(update={"synthetic": True})
    summary = reported.content.summary.model_copy(update={"dataset": marked, "n_synthetic": 80})
    content = reported.content.model_copy(update={"summary": summary})
    assert SYNTHETIC_MARK in write_page(content, reported.folder)
    assert write_tables(content).startswith(f"**{SYNTHETIC_MARK}**")
    assert "80 of 80 images are generated" in "\n".join(remarks_on(content))


def test_a_dataset_that_is_not_there_and_a_bad_summary_are_reported(reported: Reported, tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFound):
        _run(LocalStore(tmp_path / "empty"), reported.dataset, tmp_path)
    with pytest.raises(ArtifactCorrupt):
        read_data_summary(reported.store, reported.report.model_copy(update={"sha256": "0" * 64}))
