"""One small archive, written once and only read."""

import csv
from pathlib import Path

import pytest

from lesion_core.synthetic.archive import FEWEST_IMAGES, write_archive
from lesion_core.synthetic.vocabulary import Row


@pytest.fixture(scope="session")
def archive_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "archive"
    write_archive(folder, n_images=FEWEST_IMAGES, seed=3)
    return folder


@pytest.fixture(scope="session")
def rows(archive_folder: Path) -> list[Row]:
    with (archive_folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
