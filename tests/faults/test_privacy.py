"""Who and where stays in the raw bytes that the archive sent, or in the request: it never reaches anything else."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deployments.scoring.run import score
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import open_dataset
from lesion_core.errors import ImageRejected, ShortfallError
from lesion_core.figures import Case, Subject, draw_misclassified
from lesion_core.images import decode
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.source import ArchiveSource
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.progress import Progress
from lesion_core.refs import DatasetRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from tests.core.isic.folders import isic_id
from tests.faults.case import serve_files
from tests.faults.images import noise
from tests.faults.markers import MARKERS, found_in, leaks, marked_files
from tests.faults.page import PageApi, page_api

NAME = MARKERS["FileName"]
FILES = marked_files()  # before anybody listens: Pillow also logs what it writes
# Counts of bytes, in Pillow's words; nothing of the file is in them.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Listen as somebody does who looks for a fault: all loggers, at DEBUG."""
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PageApi]:
    with page_api(tmp_path / "page") as api:
        yield api


def _archive(folder: Path) -> list[bytes]:
    """Files of an archive whose folder, and one file without a row, have names that say who."""
    folder.mkdir()
    (folder / f"{NAME}.jpg").write_bytes(noise())
    return [*FILES.values(), *(noise(size=(40 + n, 40)) for n in range(12))]


def test_the_marks_are_where_they_should_be_found() -> None:
    in_files = set().union(*map(found_in, FILES.values()))
    # What a PNG packs cannot be seen from outside; ``unpacked`` shows it.
    assert in_files == {*MARKERS, "position"} - {"PngPackedText", "FileName"}


def test_marks_are_found_in_what_is_packed(tmp_path: Path) -> None:
    (tmp_path / "marked.png").write_bytes(FILES["a PNG"])
    pd.DataFrame({"said": [MARKERS["Artist"]] * 300}).to_parquet(tmp_path / "table.parquet", compression="zstd")
    found = leaks(tmp_path)
    assert {"PngPackedText", "Artist"} <= found["marked.png"]
    assert found["table.parquet"] == {"Artist"}


def test_only_raw_bytes_keep_what_a_camera_wrote(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, news = LocalStore(tmp_path / "store"), list[Progress]()
    folder = tmp_path / NAME
    files = _archive(folder)
    with serve_files(files, folder) as url:
        with pytest.raises(ShortfallError) as caught:
            ingest(ArchiveSource(url=url), store, on_progress=news.append)
        snapshot = ingest(ArchiveSource(url=url, tolerance=0.9), store, on_progress=news.append)
    dataset = prepare(
        snapshot,
        PrepareOptions(name="marked", size_px=32),
        store,
        workdir=tmp_path / "work",
        on_progress=news.append,
    )
    figure = _draw(store, dataset, tmp_path)
    kept = leaks(tmp_path / "store")
    assert {name.split("/")[0] for name in kept} == {"archive"}
    assert not {"FileName"} & set().union(*kept.values())
    _check_raw_bytes(store, files)
    assert leaks(figure.parent) == {}
    assert leaks(tmp_path / "work") == {}
    assert found_in(repr(news).encode()) == set()
    assert found_in(str(caught.value).encode()) == set()
    assert found_in(caplog.text.encode()) == set()
    assert "download" in {item.stage for item in news}


def _draw(store: LocalStore, ref: DatasetRef, tmp_path: Path) -> Path:
    """Draw the figure that shows images, of the marked ones."""
    dataset = open_dataset(store, ref, tmp_path / "cache")
    probs = np.full(len(CLASS_ORDER), 1 / len(CLASS_ORDER))
    cases = [
        Case(str(row.isic_id), pixels, Diagnosis.NV, probs)
        for row, pixels in zip(dataset.rows.itertuples(), dataset.pixels(dataset.rows), strict=True)
    ]
    (tmp_path / "figures").mkdir()
    subject = Subject(f"{len(cases)} images of {ref.id}", synthetic=False)
    return draw_misclassified(cases, len(cases), tmp_path / "figures" / "misclassified.png", subject)


def _check_raw_bytes(store: LocalStore, files: list[bytes]) -> None:
    """See that the archive's files are stored as they came, marks and all, and unusable ones not at all."""
    for number, body in enumerate(files, start=10):
        stored = [store.read(key) for key in store.list(f"archive/{isic_id(number)}/")]
        try:
            decode(body, image_id="raw")
        except ImageRejected:
            assert stored == []
        else:
            assert stored == [body]


def test_the_page_keeps_and_answers_nothing_of_a_file(page: PageApi, caplog: pytest.LogCaptureFixture) -> None:
    statuses = []
    for number, body in enumerate(FILES.values()):
        status, text = page.ask(body, f"{NAME}-{number}.jpg")
        statuses.append(status)
        assert found_in(text.encode()) == set()
    assert {200, 422} == set(statuses)
    records = list(page.store.list("audit/"))
    assert len(records) == statuses.count(200)
    assert all(set(json.loads(page.store.read(key))) >= {"model", "probabilities"} for key in records)
    assert page.store.root is not None
    assert leaks(page.store.root.parent) == {}
    assert found_in(caplog.text.encode()) == set()


def test_scoring_tells_names_in_its_table_and_nowhere_else(
    page: PageApi, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    names = [f"{NAME}-{number}.jpg" for number in range(len(FILES))]
    for name, body in zip(names, FILES.values(), strict=True):
        (folder / name).write_bytes(body)
    settings = LesionSettings(store=str(page.store.root), work=tmp_path / "work")
    score(settings, folder, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.pop("image")) == names
    refused = table.pop("refused").dropna().str.replace(f"image {NAME}-", "", regex=False)
    assert found_in(refused.to_csv().encode()) == found_in(table.to_csv().encode()) == set()
    assert leaks(tmp_path / "work") == {}
    assert found_in("".join([*capfd.readouterr(), caplog.text]).encode()) == set()
