"""The archive on disk: layout, faults, determinism, refusals."""

import hashlib
import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesion_core.errors import ConfigError
from lesion_core.synthetic.archive import FEWEST_IMAGES, FIRST_ID, write_archive
from lesion_core.synthetic.faults import UNKNOWN_SITE, UNMAPPABLE
from lesion_core.synthetic.vocabulary import CLINICS, COLUMNS, Row


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _readable(folder: Path) -> dict[str, np.ndarray]:
    """Return the images that decode, by isic_id."""
    images = {}
    for path in sorted(folder.glob("*.jpg")):
        try:
            images[path.stem] = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))
        except OSError:
            continue
    return images


@pytest.fixture(scope="module")
def images(archive_folder: Path) -> dict[str, np.ndarray]:
    return _readable(archive_folder)


def test_the_folder_is_laid_out_as_the_downloader_leaves_it(archive_folder: Path, rows: list[Row]) -> None:
    wanted = {f"ISIC_{FIRST_ID + number}" for number in range(FEWEST_IMAGES)}
    assert {row["isic_id"] for row in rows} == wanted
    assert tuple(rows[0]) == COLUMNS
    names = {path.stem for path in archive_folder.glob("*.jpg")}
    assert names < wanted
    assert {path.name for path in archive_folder.iterdir()} == {f"{name}.jpg" for name in names} | {"metadata.csv"}


def test_every_row_says_synthetic_and_carries_licence_and_attribution(rows: list[Row]) -> None:
    assert {row["image_manipulation"] for row in rows} == {"synthetic"}
    assert {(row["copyright_license"], row["attribution"]) for row in rows} == set(CLINICS)


def test_exactly_one_image_is_missing_and_one_does_not_decode(
    archive_folder: Path, rows: list[Row], images: dict[str, np.ndarray]
) -> None:
    on_disk = {path.stem for path in archive_folder.glob("*.jpg")}
    assert len(rows) - len(on_disk) == 1
    assert len(on_disk) - len(images) == 1
    assert {image.shape for image in images.values()} == {(192, 256, 3)}


def test_one_diagnosis_and_one_site_are_outside_the_vocabulary(rows: list[Row]) -> None:
    diagnoses = [(row["diagnosis_1"], row["diagnosis_2"], row["diagnosis_3"]) for row in rows]
    assert diagnoses.count(UNMAPPABLE) == 1
    assert [row["anatom_site_1"] for row in rows].count(UNKNOWN_SITE) == 1


def test_one_pair_of_lesions_shares_its_bytes(archive_folder: Path, rows: list[Row]) -> None:
    lesions = {row["isic_id"]: row["lesion_id"] for row in rows}
    by_digest = defaultdict(list)
    for name, digest in _digests(archive_folder).items():
        by_digest[digest].append(name.removesuffix(".jpg"))
    pairs = [names for names in by_digest.values() if len(names) > 1]
    assert len(pairs) == 1
    first, second = pairs[0]
    assert lesions[first] != lesions[second]


def test_one_pair_of_lesions_is_nearly_the_same_image(rows: list[Row], images: dict[str, np.ndarray]) -> None:
    lesions = {row["isic_id"]: row["lesion_id"] for row in rows}
    names = sorted(images)
    small = np.stack([np.asarray(Image.fromarray(images[name]).resize((32, 24))).ravel() for name in names])
    correlation = np.triu(np.corrcoef(small.astype(float)), 1)
    near = [(names[i], names[j]) for i, j in zip(*np.where(correlation > 0.998), strict=True)]
    different = [pair for pair in near if not np.array_equal(images[pair[0]], images[pair[1]])]
    assert len(near) == 2
    assert len(different) == 1
    assert all(lesions[first] != lesions[second] for first, second in near)


def test_equal_arguments_give_equal_bytes_and_another_seed_gives_others(archive_folder: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "again", n_images=FEWEST_IMAGES, seed=3)
    write_archive(tmp_path / "other", n_images=FEWEST_IMAGES, seed=4)
    first, again, other = (_digests(f) for f in (archive_folder, tmp_path / "again", tmp_path / "other"))
    assert again == first
    assert not set(other.values()) & set(first.values())


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="new or empty"):
        write_archive(tmp_path, n_images=FEWEST_IMAGES)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_too_few_images_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"at least {FEWEST_IMAGES}"):
        write_archive(tmp_path / "archive", n_images=FEWEST_IMAGES - 1)
    assert not list(tmp_path.iterdir())


def test_what_an_interrupted_run_left_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    partial = tmp_path / "archive.partial"
    partial.mkdir()
    (partial / "ISIC_1234567.jpg").write_bytes(b"half")
    write_archive(folder, n_images=FEWEST_IMAGES)
    assert not partial.exists()
    assert not (folder / "ISIC_1234567.jpg").exists()
