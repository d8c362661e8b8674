"""Submissions to the challenge and its ground truth: written, read, refused, scored; and read by the organisers."""

import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from lesion_core.errors import ConfigError, DataError, LesionError, ManifestError
from lesion_core.evaluation.challenge.files import (
    EIGHT,
    NINE,
    read_ground_truth,
    read_submission,
    read_unknown,
    write_submission,
)
from lesion_core.evaluation.challenge.score import score_submission, submission_table
from lesion_core.evaluation.predictions import table_of_predictions
from tests.core.statistics.test_challenge_score import organisers

__all__ = ["organisers"]
N = 60
OFFICIAL = "ISIC_2019_Training_GroundTruth.csv"


def predictions(n: int = N, seed: int = 0, names: pd.Index | None = None) -> pd.DataFrame:
    """Return predictions as a report stores them, of images in no order."""
    random = np.random.default_rng(seed)
    ids = pd.Series([f"ISIC_{number:07d}" for number in range(n)] if names is None else list(names))
    rows = pd.DataFrame({"isic_id": ids, "group": ids, "class_index": random.integers(0, 8, n)})
    return table_of_predictions(rows, random.dirichlet(np.full(8, 0.3), n)).sample(frac=1, random_state=seed)


def write_truth(path: Path, n: int = N, columns: tuple[str, ...] = NINE) -> Path:
    """Write an official table: every class is there, and each third name ends in _downsampled."""
    lines = ["image," + ",".join(columns)]
    for number in range(n):
        ones = ",".join(str(float(place == number % len(columns))) for place in range(len(columns)))
        lines.append(f"ISIC_{number:07d}{'_downsampled' if number % 3 == 0 else ''},{ones}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write(path: Path, table: pd.DataFrame) -> Path:
    write_submission(table, path)
    return path


def test_a_submission_has_every_bit_of_the_predictions(tmp_path: Path) -> None:
    given = predictions()
    path = write(tmp_path / "s.csv", submission_table(given))
    assert path.read_text().splitlines()[0] == "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
    back = read_submission(path)
    assert list(back.ids) == sorted(given["isic_id"])
    ordered = given.sort_values("isic_id")[[f"p_{name}" for name in EIGHT]].to_numpy()
    np.testing.assert_array_equal(back.probs[:, :8].astype(np.float32), ordered)
    assert (back.probs[:, 8] == 0).all()
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written is left


def test_a_flag_of_out_of_distribution_becomes_unk(tmp_path: Path) -> None:
    flags = tmp_path / "flags.csv"
    flags.write_text("image,UNK\nISIC_0000000.jpg,1\nISIC_0000001_downsampled,0.25\nISIC_0000002,0\n")
    given = predictions(3)
    table = submission_table(given, unknown=read_unknown(flags))
    plain = submission_table(given)
    np.testing.assert_allclose(table["UNK"], [1.0, 0.25, 0.0])
    np.testing.assert_allclose(table[list(NINE)].sum(axis=1), 1.0, atol=1e-6)
    kept = np.array([0.0, 0.75, 1.0])[:, None]
    np.testing.assert_allclose(table[list(EIGHT)], plain[list(EIGHT)] * kept, rtol=1e-6)


def test_both_programs_read_both_files_alike(tmp_path: Path, organisers: ModuleType) -> None:
    truth = read_ground_truth(write_truth(tmp_path / OFFICIAL))
    path = write(tmp_path / "s.csv", submission_table(predictions(), names=truth.names))
    scores = score_submission(read_submission(path), truth)
    metric = organisers.ClassificationMetric.BALANCED_ACCURACY
    theirs = organisers.ClassificationScore.from_file(tmp_path / OFFICIAL, path, metric)
    assert scores.nine is not None
    assert scores.nine.balanced_accuracy == pytest.approx(theirs.overall, abs=1e-9)
    assert scores.nine.mean("auc_sens_80") == pytest.approx(theirs.macro_average["auc_sens_80"], abs=1e-9)
    assert not scores.answers_unknown
    # Eight classes: as if neither file had ever named the ninth.
    ones = pd.read_csv(tmp_path / OFFICIAL).query("UNK == 0").drop(columns="UNK")
    given = pd.read_csv(path).drop(columns="UNK")
    given = given[given["image"].isin(ones["image"])]
    parts = (io.StringIO(part.to_csv(index=False)) for part in (ones, given))
    theirs = organisers.ClassificationScore.from_stream(*parts, metric)
    assert scores.eight.balanced_accuracy == pytest.approx(theirs.overall, abs=1e-9)
    assert scores.eight.n_images == len(ones) < scores.nine.n_images == N


def test_unk_changes_the_nine_classes_alone(tmp_path: Path) -> None:
    truth = read_ground_truth(write_truth(tmp_path / OFFICIAL))
    is_unknown = {isic_id: float(place == 8) for isic_id, place in zip(truth.names, truth.truth, strict=True)}
    plain, flagged = (
        score_submission(
            read_submission(write(tmp_path / "s.csv", submission_table(predictions(), unknown=u))), truth
        )
        for u in (None, is_unknown)
    )
    assert plain.eight.balanced_accuracy == flagged.eight.balanced_accuracy
    assert plain.nine is not None
    assert flagged.nine is not None
    assert flagged.nine.balanced_accuracy == pytest.approx(plain.nine.balanced_accuracy + 1 / 9)
    assert flagged.nine.categories[8].sensitivity == 1.0
    assert flagged.answers_unknown


def test_weights_of_the_ground_truth_count(tmp_path: Path) -> None:
    path = write_truth(tmp_path / OFFICIAL)
    table = pd.read_csv(path)
    table["score_weight"] = np.where(np.arange(N) < 30, 1.0, 0.0)
    table["validation_weight"] = 0.5
    table.to_csv(path, index=False)
    scores = score_submission(
        read_submission(write(tmp_path / "s.csv", submission_table(predictions()))), read_ground_truth(path)
    )
    halves = write_truth(tmp_path / "half.csv", 30)
    half = score_submission(
        read_submission(write(tmp_path / "s.csv", submission_table(predictions().sort_values("isic_id")[:30]))),
        read_ground_truth(halves),
    )
    assert scores.nine == half.nine
    assert scores.nine is not None
    assert scores.nine.n_images == 30


def test_the_image_that_the_organisers_leave_out_counts_nothing(tmp_path: Path, organisers: ModuleType) -> None:
    path = write_truth(tmp_path / OFFICIAL)
    path.write_text(path.read_text().replace("ISIC_0000001,", "ISIC_0035068,"))
    truth = read_ground_truth(path)
    given = predictions().replace({"isic_id": {"ISIC_0000001": "ISIC_0035068"}})
    submitted = write(tmp_path / "s.csv", submission_table(given, names=truth.names))
    scores = score_submission(read_submission(submitted), truth)
    theirs = organisers.ClassificationScore.from_file(
        path, submitted, organisers.ClassificationMetric.BALANCED_ACCURACY
    )
    assert scores.nine is not None
    assert scores.nine.n_images == N - 1
    assert scores.nine.balanced_accuracy == pytest.approx(theirs.overall, abs=1e-9)


def test_a_ground_truth_without_unk_has_no_score_in_nine_classes(tmp_path: Path) -> None:
    truth = read_ground_truth(write_truth(tmp_path / OFFICIAL, columns=EIGHT))
    scores = score_submission(read_submission(write(tmp_path / "s.csv", submission_table(predictions()))), truth)
    assert scores.nine is None
    assert scores.eight.n_images == N


def test_a_part_of_the_images_is_scored_only_when_asked(tmp_path: Path) -> None:
    truth = read_ground_truth(write_truth(tmp_path / OFFICIAL))
    few = submission_table(predictions().query("isic_id < 'ISIC_0000040'"))
    submission = read_submission(write(tmp_path / "s.csv", few))
    with pytest.raises(
        DataError, match=r"each of the 60 images of .* got none in .* for 20: ISIC_0000040, .*--subset"
    ):
        score_submission(submission, truth)
    scores = score_submission(submission, truth, subset=True)
    assert scores.nine is not None
    assert (scores.nine.n_images, scores.n_unscored) == (40, 20)


def test_images_without_ground_truth_are_refused(tmp_path: Path) -> None:
    truth = read_ground_truth(write_truth(tmp_path / OFFICIAL, 50))
    submission = read_submission(write(tmp_path / "s.csv", submission_table(predictions())))
    with pytest.raises(DataError, match=r"got ISIC_0000050, .* and 5 more, which have no ground truth"):
        score_submission(submission, truth, subset=True)
    with pytest.raises(DataError, match=r"a row in the ground truth for each of the 60 .* none for 10"):
        submission_table(predictions(), names=truth.names)
    with pytest.raises(DataError, match=r"a probability of UNK for each of the 60 .* none for 59"):
        submission_table(predictions(), unknown={"ISIC_0000000": 1.0})


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def without(column: str) -> Callable[[Path], None]:
    return lambda path: pd.read_csv(path).drop(columns=column).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("SCC"), "expected a column SCC in .*, got image, MEL"),
        (replaced("ISIC_0000000_downsampled,1.0,0.0", "ISIC_0000000_downsampled,1.0,1.0"), "row 2 .* got MEL and NV"),
        (replaced("ISIC_0000000_downsampled,1.0", "ISIC_0000000_downsampled,0.0"), "one class in row 2 .* got none"),
        (replaced("ISIC_0000000_downsampled,1.0", "ISIC_0000000_downsampled,0.5"), "0 or 1 under MEL .* got '0.5'"),
        (replaced("ISIC_0000001,", "ISIC_0000000,"), "each image once .* got ISIC_0000000 again"),
        (replaced("ISIC_0000001,", "lesion 7,"), "got lesion 7"),
        (lambda path: path.write_text(path.read_text().splitlines()[0] + "\n"), "got the header alone"),
        (lambda path: path.write_text(path.read_text().replace(",", ";")), "got semicolons"),
    ],
)
def test_a_ground_truth_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    path = write_truth(tmp_path / OFFICIAL)
    change(path)
    with pytest.raises(ManifestError, match=words):
        read_ground_truth(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("DF"), "expected a column DF"),
        (lambda path: pd.read_csv(path).assign(HAIR=0.5).to_csv(path, index=False), "got HAIR; remove it"),
        (replaced("ISIC_0000001,", "ISIC_0000000.JPG,"), "got ISIC_0000000 again"),
        (lambda path: pd.read_csv(path).assign(NV=1.5).to_csv(path, index=False), "0 to 1 under NV in row 2 .*'1.5'"),
        (lambda path: pd.read_csv(path).assign(NV="x").to_csv(path, index=False), "got 'x'"),
        (lambda path: pd.read_csv(path).assign(NV="nan").to_csv(path, index=False), "got 'nan'"),
        (lambda path: pd.read_csv(path).assign(NV=None).to_csv(path, index=False), "under NV in row 2 .* got ''"),
    ],
)
def test_a_submission_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    path = write(tmp_path / "s.csv", submission_table(predictions()))
    change(path)
    with pytest.raises(ManifestError, match=words):
        read_submission(path)


def test_a_submission_without_unk_is_refused_where_the_ground_truth_has_it(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", submission_table(predictions()))
    without("UNK")(path)
    with pytest.raises(DataError, match=r"expected a column UNK in .*with 0.0 in each row"):
        score_submission(read_submission(path), read_ground_truth(write_truth(tmp_path / OFFICIAL)))
    eight = read_ground_truth(write_truth(tmp_path / OFFICIAL, columns=EIGHT))
    assert score_submission(read_submission(path), eight).nine is None


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for read in (read_ground_truth, read_submission, read_unknown):
        with pytest.raises(ConfigError, match="No such file"):
            read(tmp_path / "none.csv")
    with pytest.raises(LesionError, match=r"expected to write .*none/s.csv, got: No such file"):
        write_submission(submission_table(predictions()), tmp_path / "none" / "s.csv")


def test_the_published_ground_truth_is_read(isic_folder: Path) -> None:
    truth = read_ground_truth(isic_folder / "challenge" / OFFICIAL)
    assert set(np.unique(truth.truth)) == set(range(8))  # the training set has no image of UNK, but the column
    assert truth.has_unknown
    assert set(truth.names) <= {name.removesuffix("_downsampled") for name in truth.names.values()}
    assert any(name.endswith("_downsampled") for name in truth.names.values())
    assert (truth.weights == 1).all()


def test_the_published_ground_truth_is_scored_as_the_organisers_do(
    tmp_path: Path, isic_folder: Path, organisers: ModuleType
) -> None:
    from isic_challenge_scoring import load_csv, metrics

    truth = read_ground_truth(isic_folder / "challenge" / OFFICIAL)
    table = submission_table(predictions(len(truth.names), names=pd.Index(truth.names)), names=truth.names)
    scores = score_submission(read_submission(write(tmp_path / "s.csv", table)), truth)
    assert scores.nine is not None
    assert scores.nine.absent == ("UNK",)
    assert scores.eight.balanced_accuracy == scores.nine.balanced_accuracy  # UNK is 0, and no image is of it
    with (isic_folder / "challenge" / OFFICIAL).open() as file, (tmp_path / "s.csv").open() as given_file:
        ones, weights = load_csv.parse_truth_csv(file)
        given = load_csv.parse_csv(given_file, ones.columns)
    load_csv.validate_rows(ones, given)
    theirs = metrics.balanced_multiclass_accuracy(ones.sort_index(), given.sort_index(), weights.score_weight)
    assert scores.nine.balanced_accuracy == pytest.approx(theirs, abs=1e-9)
    assert sum(one.n_images for one in scores.eight.categories) == len(truth.names)
