"""Scoring a folder: every file has a row or is counted, and the output is whole or as it was."""

import io
import os
import socket
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from deployments.cli import app
from deployments.scoring import run
from deployments.scoring.files import IMAGE_ENDINGS
from deployments.scoring.output import COLUMNS
from deployments.scoring.run import score
from lesion_core.errors import ConfigError, ModelNotReady
from lesion_core.images import FORMATS
from lesion_core.labels import CLASS_ORDER
from lesion_core.serving.predictor import Predictor
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from tests.model_folders import publish_model

PROBABILITIES = [f"p_{name}" for name in CLASS_ORDER]


def read(output: Path) -> pd.DataFrame:
    """Return an output by image, ids as text."""
    rows = pd.read_csv(output, dtype=str, keep_default_na=False).set_index("image")
    numbers = ["age_years", "table_row", *PROBABILITIES]
    rows[numbers] = rows[numbers].apply(pd.to_numeric)
    return rows.assign(refused=rows["refused"].where(rows["refused"] != ""))


def encoded(format_: str) -> bytes:
    """Return an image in a format, by Pillow's name."""
    pixels = np.random.default_rng(5).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_every_image_has_a_row(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path, suffix: str
) -> None:
    table = tmp_path / "known.csv"
    table.write_text("\ufeffimage,age_years,sex\na.jpg,61,female\nb,400,male\n", encoding="utf-8")
    output = tmp_path / f"out.{suffix}"
    summary = score(scoring_settings, image_folder, output, metadata=table)
    assert (summary.n_scored, summary.n_refused) == (2, 2)
    rows = pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)
    assert list(rows) == list(COLUMNS)
    rows = rows.set_index("image")
    probabilities = rows[PROBABILITIES].astype(float)
    assert probabilities.loc[["a.jpg", "c.jpg"]].sum(axis=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert probabilities.loc[["b.jpg", "cut.jpg"]].isna().all(axis=None)
    assert "age_years '400'" in rows.loc["b.jpg", "refused"]
    assert "cut.jpg" in rows.loc["cut.jpg", "refused"]


@pytest.mark.parametrize("policy", ["refuse", "note"])
def test_an_image_unlike_the_training_is_refused_or_flagged(
    image_folder: Path, tmp_path: Path, policy: Literal["refuse", "note"]
) -> None:
    settings = LesionSettings(store=str(tmp_path / "store"), work=tmp_path / "work", ood_policy=policy)
    store = open_store(settings)
    model = publish_model(store, tmp_path / "scratch", ood={"threshold": 75.0})
    for name, level in (("dark", 70), ("white", 250)):
        Image.new("RGB", (80, 80), (level, level, level)).save(image_folder / f"{name}.png")
    output = tmp_path / "out.csv"
    summary = score(settings, image_folder, output, model_id=model.id)
    rows = pd.read_csv(output).set_index("image")
    assert rows["ood_score"]["dark.png"] == pytest.approx(70, abs=0.01)
    assert rows["ood_score"]["white.png"] == pytest.approx(250, abs=0.01)
    flags = {"dark.png": False, "white.png": True, "a.jpg": True, "cut.jpg": None}
    found = {name: rows["out_of_distribution"][name] for name in flags}
    assert {name: None if pd.isna(flag) else bool(flag) for name, flag in found.items()} == flags
    assert rows[PROBABILITIES].loc["dark.png"].sum() == pytest.approx(1, abs=1e-5)
    text = "\n".join(summary.lines())
    if policy == "refuse":
        assert rows[[*PROBABILITIES, "leading"]].loc["white.png"].isna().all()
        assert "unlike the dermoscopic images" in rows["refused"]["white.png"]
        assert "refused: 4 × it is unlike the dermoscopic images that the model was made from" in text
        assert (summary.n_scored, summary.n_refused) == (1, 5)
    else:
        assert rows[PROBABILITIES].loc["white.png"].sum() == pytest.approx(1, abs=1e-5)
        assert pd.isna(rows["refused"]["white.png"])
        assert "out of distribution: 4 of the images scored are unlike" in text
        assert (summary.n_scored, summary.n_refused) == (5, 1)


def test_every_ending_that_the_decoder_reads_is_scored(scoring_settings: LesionSettings, tmp_path: Path) -> None:
    Image.init()
    known = {ending: format_ for ending, format_ in Image.registered_extensions().items() if format_ in FORMATS}
    assert set(known) <= set(IMAGE_ENDINGS)
    assert set(IMAGE_ENDINGS) - {".mpo"} <= set(known)  # Pillow opens MPO through JPEG
    folder = tmp_path / "images"
    folder.mkdir()
    for number, (ending, format_) in enumerate(sorted(known.items())):
        (folder / f"{number}{ending}").write_bytes(encoded(format_))
        (folder / f"{number}-large{ending.upper()}").write_bytes(encoded(format_))
    (folder / "no ending").write_bytes(encoded("JPEG"))
    summary = score(scoring_settings, folder, tmp_path / "out.csv")
    assert (summary.n_scored, summary.n_refused) == (2 * len(known) + 1, 0)
    assert set(read(tmp_path / "out.csv").index) == {path.name for path in folder.iterdir()}


def test_what_is_no_image_is_refused_in_words_or_counted(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path
) -> None:
    bodies = {
        "IMG_7.HEIC": b"\0\0\0\x18ftypheic" + bytes(99),
        "scan.dcm": bytes(128) + b"DICM" + bytes(99),
        "letter.pdf": b"%PDF-1.4\n",
        "drawing.svg": b"<svg/>",
        "empty.jpg": b"",
    }
    for name, body in bodies.items():
        (image_folder / name).write_bytes(body)
    for name in ("metadata.csv", "attribution.txt", "Thumbs.db", ".DS_Store", "clip.MP4"):
        (image_folder / name).write_bytes(b"x")
    for name in ("licenses", ".hidden"):
        (image_folder / name).mkdir()
    (image_folder / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(image_folder / "pipe.jpg")  # reading it would wait for ever
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(image_folder / "s.jpg"))
    output = image_folder / "out.csv"
    output.write_text("of the run before")
    summary = score(scoring_settings, image_folder, output)
    refused = read(output)["refused"].dropna()
    assert set(refused.index) == {*bodies, "cut.jpg"}
    for name, words in {"IMG_7.HEIC": "HEIC", "scan.dcm": "DICOM", "letter.pdf": "PDF", "empty.jpg": "empty"}.items():
        assert words in refused[name]
    text = "\n".join(summary.lines())
    assert "3 images scored, 6 refused" in text
    assert "refused: 1 × the file is a HEIC photograph (IMG_7.HEIC)" in text
    assert "5 files that are no images (Thumbs.db, attribution.txt, clip.MP4, metadata.csv, out.csv)" in text
    assert "2 hidden files and folders (.DS_Store, .hidden)" in text
    assert "3 broken links and pipes (gone.jpg, pipe.jpg, s.jpg)" in text
    assert "1 folder (licenses); --recursive goes into them" in text
    listing = summary.listing
    counted = [*listing.other_files, *listing.hidden_files, *listing.special_files, *listing.folders]
    assert len(listing.images) + len(counted) == len(list(image_folder.iterdir()))


def test_a_file_that_cannot_be_read_or_written_as_text_has_its_row(
    scoring_settings: LesionSettings, image_folder: Path, lesion_jpeg: bytes, tmp_path: Path
) -> None:
    (image_folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(lesion_jpeg)
    with (image_folder / "large.tif").open("wb") as file:
        file.truncate(600 * 1024 * 1024)  # a hole: it takes no room
    summary = score(scoring_settings, image_folder, tmp_path / "out.csv")
    rows = read(tmp_path / "out.csv")
    assert summary.n_scored == 4
    assert rows.loc["caf\ufffd.jpg", "leading"]
    assert "larger than 512 MB" in rows.loc["large.tif", "refused"]


def test_folders_are_gone_into_when_asked(
    scoring_settings: LesionSettings, image_folder: Path, lesion_jpeg: bytes, tmp_path: Path
) -> None:
    inner = image_folder / "2024" / "may"
    inner.mkdir(parents=True)
    (inner / "a.jpg").write_bytes(lesion_jpeg)
    (inner / "loop").symlink_to(image_folder)
    table = tmp_path / "known.csv"
    table.write_text("image,sex\n2024/may/a.jpg,female\nb.jpg,male\n")
    output = tmp_path / "out.csv"
    score(scoring_settings, image_folder, output, metadata=table, recursive=True)
    rows = read(output)
    assert set(rows.index) == {"a.jpg", "b.jpg", "c.jpg", "cut.jpg", "2024/may/a.jpg"}
    assert rows.loc["2024/may/a.jpg", "sex"] == "female"
    assert rows.loc["a.jpg", "sex"] == ""
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "inner").symlink_to(image_folder)
    with pytest.raises(ConfigError, match="1 folders, into which --recursive goes"):
        score(scoring_settings, outer, output)


@pytest.mark.parametrize("folder", ["empty", "nowhere", "a file"])
def test_a_folder_without_images_is_refused(scoring_settings: LesionSettings, tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"expected a folder with images.*" + folder):
        score(scoring_settings, tmp_path / folder, tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("out.xlsx", "ending in .csv or .parquet"),
        ("out", "ending in .csv or .parquet"),
        ("nowhere/out.csv", "make it first"),
        ("folder.csv", "got a folder or device"),
        ("known.csv", "which is an input"),
        ("link.csv", "which is an input"),
        ("x" * 300 + "/out.csv", "make it first"),
        ("x" * 300 + ".csv", "File name too long"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_first_image(
    empty_settings: LesionSettings, image_folder: Path, tmp_path: Path, output: str, words: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    table = tmp_path / "known.csv"
    table.write_text("image,sex\na,female\n")
    (tmp_path / "link.csv").symlink_to(table)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=words):
        score(empty_settings, image_folder, tmp_path / output, metadata=table)
    assert sorted(tmp_path.rglob("*")) == before
    assert table.read_text() == "image,sex\na,female\n"


def test_a_folder_that_takes_no_files_is_found_before_the_first_image(
    empty_settings: LesionSettings, image_folder: Path
) -> None:
    with pytest.raises(ConfigError, match=r"expected to write /proc/out\.csv"):
        score(empty_settings, image_folder, Path("/proc/out.csv"))


def test_without_an_approved_model_nothing_is_written(
    empty_settings: LesionSettings, image_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotReady):
        score(empty_settings, image_folder, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("power")])
def test_an_output_is_replaced_as_a_whole_or_not_at_all(
    scoring_settings: LesionSettings,
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "out.csv"
    output.write_text("of the run before")
    predict = Predictor.predict_bytes

    def fail_at_the_third(self: Predictor, *arguments: object, image_id: str) -> object:
        if image_id == "c.jpg":
            raise failure
        return predict(self, *arguments, image_id=image_id)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "predict_bytes", fail_at_the_third)
        with pytest.raises(type(failure)):
            score(scoring_settings, image_folder, output)
    assert output.read_text() == "of the run before"
    assert list(folder.iterdir()) == [output]
    score(scoring_settings, image_folder, output)
    assert len(read(output)) == 4
    assert list(folder.iterdir()) == [output]


def test_a_full_disk_leaves_what_was_there(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "out.csv"
    output.write_text("of the run before")
    partials = []

    def fill_up(self: pd.DataFrame, path: Path, **options: object) -> None:
        path.write_text("image,lead")
        partials.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fill_up)
    with pytest.raises(ConfigError, match="No space left on device; choose another folder"):
        score(scoring_settings, image_folder, output)
    assert len(partials) == 1
    assert list(folder.iterdir()) == [output]
    assert output.read_text() == "of the run before"


def test_a_failing_progress_ends_no_scoring(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path
) -> None:
    def fail(progress: object) -> None:
        raise BrokenPipeError("nobody reads")

    score(scoring_settings, image_folder, tmp_path / "out.csv", on_progress=fail)
    assert len(read(tmp_path / "out.csv")) == 4


def test_the_command_keeps_standard_output_for_the_summary(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path
) -> None:
    table = tmp_path / "known.csv"
    table.write_text("image,age,sex,doctor\na,61,female,Grey\n")
    arguments = ["predict", str(image_folder), "--metadata", str(table), "--output", str(tmp_path / "out.csv")]
    environment = {"LESION_STORE": scoring_settings.store, "LESION_WORK": str(scoring_settings.work)}
    refused = CliRunner().invoke(app, arguments, env=environment)
    assert "doctor" in str(refused.exception)
    outcome = CliRunner().invoke(app, [*arguments, "--ignore", "doctor"], env=environment)
    assert outcome.exit_code == 0, outcome.exception
    assert outcome.stdout.startswith("3 images scored, 1 refused (see the column 'refused')")
    assert "columns: image as image, age as age_years, sex as sex\n" in outcome.stdout
    assert "columns not used: doctor\n" in outcome.stdout
    assert "scoring" not in outcome.stdout
    assert outcome.stderr.splitlines()[0] == run.LOADING
    assert outcome.stderr.splitlines()[-1].startswith("scoring: 4 of 4 images, in 0:")


def test_refusals_cost_no_time(empty_settings: LesionSettings, image_folder: Path, tmp_path: Path) -> None:
    """A fault of the table is reported at once, however many images there are."""
    for number in range(3000):
        os.link(image_folder / "a.jpg", image_folder / f"{number}.jpg")
    table = tmp_path / "known.csv"
    table.write_text("image;Alter\na;61\n")
    started = time.process_time()
    with pytest.raises(Exception, match="Alter"):
        score(empty_settings, image_folder, tmp_path / "out.csv", metadata=table)
    assert time.process_time() - started < 5
