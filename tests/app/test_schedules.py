"""What the scheduled deployments are given to ask for."""

from pathlib import Path

import pytest
import yaml

from deployments.demo import DemoRequest, scheduled_options
from deployments.provision import PREFECT_FILE
from deployments.schedules import own_source, scheduled_work, with_schedules
from lesion_core.errors import ConfigError
from lesion_core.isic.source import ArchiveSource
from lesion_core.recipes.recipe import parse_recipe
from lesion_core.settings import LesionSettings
from tests.conftest import ROOT

MIRROR = LesionSettings(archive_url="http://127.0.0.1:8011/api/v2/", recipes=ROOT / "deployments" / "recipes")


def test_the_public_archive_is_asked_for_one_collection_and_a_mirror_for_all() -> None:
    assert own_source(LesionSettings()).collections == (65,)
    assert own_source(LesionSettings(archive_url="https://api.isic-archive.com/api/v2")).collections == (65,)
    assert own_source(MIRROR) == ArchiveSource()


def test_the_watch_looks_at_the_dataset_that_retraining_makes() -> None:
    work = scheduled_work(MIRROR, '{"limit": 200}', "demo-synthetic", active=False)
    assert work.parameters(MIRROR) == {
        "retrain-weekly": {"source": {"limit": 200}, "recipe": "demo-synthetic"},
        "monitor-daily": {"source": {"limit": 200}, "name": "synthetic"},
    }


def test_a_recipe_from_a_file_is_handed_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "backbone": "tiny", "weights": "none"}))
    given = scheduled_work(MIRROR, "", str(path), active=True).parameters(MIRROR)["retrain-weekly"]["recipe"]
    assert parse_recipe(given, source="the parameters").name == "mine"


@pytest.mark.parametrize("source", ['{"limmit": 3}', "65", "{", '{"limit": 3}'])
def test_a_source_that_is_none_is_refused_with_an_example(source: str) -> None:
    with pytest.raises(ConfigError, match=r"--source as JSON such as"):
        scheduled_work(MIRROR, source, "isic-quick", active=True)


def test_only_scheduled_deployments_change_and_a_switch_stays_as_it_was() -> None:
    content = yaml.safe_load(PREFECT_FILE.read_text(encoding="utf-8"))
    parameters = scheduled_work(MIRROR, "", "isic-quick", active=False).parameters(MIRROR)
    filled = with_schedules(content, parameters, states={"monitor-daily": True}, active=False)["deployments"]
    for before, after in zip(content["deployments"], filled, strict=True):
        if "schedules" not in before:
            assert after == before
    states = {item["name"]: item["schedules"][0]["active"] for item in filled if "schedules" in item}
    assert states == {"retrain-weekly": False, "monitor-daily": True}
    assert all(item["parameters"] == parameters[item["name"]] for item in filled if "schedules" in item)


def test_the_demonstration_hands_on_what_it_was_asked_for(tmp_path: Path) -> None:
    """Also a recipe whose weights were replaced, and never the address of a mirror that the next start moves."""
    request = DemoRequest(home=tmp_path, limit=300, recipe="isic-quick", weights="none")
    source = ArchiveSource(url="http://127.0.0.1:1/api/v2/", limit=300, tolerance=0.02)
    recipe = parse_recipe({"name": "isic-quick", "weights": "none"}, source="test")
    options = scheduled_options(request, source, recipe)
    work = scheduled_work(MIRROR, options[1], options[3], active=False)
    assert work.source == ArchiveSource(limit=300, tolerance=0.02)
    assert work.recipe == recipe
