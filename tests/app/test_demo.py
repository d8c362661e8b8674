"""Which folders the demonstration takes images from."""

from pathlib import Path

import pytest
from rich.console import Console

from deployments import demo
from deployments.demo import DemoRequest, archive_folder
from deployments.stack import local
from lesion_core.errors import ConfigError, ManifestError
from lesion_core.isic.source import ArchiveSource
from lesion_core.labels import CLASS_ORDER
from lesion_core.recipes.recipe import Recipe


def _ask(folder: Path) -> Path | None:
    return archive_folder(DemoRequest(home=folder / "home", archive=str(folder)))


def test_a_folder_of_the_archive_and_a_challenges_set_are_taken(tmp_path: Path) -> None:
    for name in ("archive", "challenge"):
        (tmp_path / name).mkdir()
    (tmp_path / "archive" / "metadata.csv").write_text("isic_id\nISIC_0000001\n")
    ones = ",".join("1" if name == "NV" else "0" for name in CLASS_ORDER)
    (tmp_path / "challenge" / "X_GroundTruth.csv").write_text(f"image,{','.join(CLASS_ORDER)}\nISIC_0000001,{ones}\n")
    metadata = tmp_path / "challenge" / "X_Metadata.csv"
    metadata.write_text("image,age_approx,anatom_site_general,lesion_id,sex\nISIC_0000001,,,,\n")
    for name in ("archive", "challenge"):
        (tmp_path / name / "ISIC_0000001.jpg").touch()
        assert _ask(tmp_path / name) == tmp_path / name
    metadata.write_text("image,sex\nISIC_0000001,male\n")
    with pytest.raises(ManifestError, match="age_approx, anatom_site_general, lesion_id"):
        _ask(tmp_path / "challenge")


def test_any_other_folder_is_refused_with_both_layouts_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"isic-cli leaves it .* challenge's set .* no metadata\.csv"):
        _ask(tmp_path)


def test_the_real_archive_is_no_folder(tmp_path: Path) -> None:
    assert archive_folder(DemoRequest(home=tmp_path, archive="isic")) is None


def test_a_stop_in_the_middle_says_that_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo.runs, "run_and_follow", interrupted)
    monkeypatch.setattr(demo, "console", Console())
    with pytest.raises(KeyboardInterrupt):
        demo._run_pipeline(local.Addresses(1, 2, 3), ArchiveSource(), Recipe(name="a"))
    assert "the same command goes on from there" in capsys.readouterr().out
