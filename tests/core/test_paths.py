"""A tilde stands for a home wherever a path is given, also where no shell has replaced it."""

import getpass
from pathlib import Path

import pytest
import yaml

from lesion_core.comparison.spec import choose_request
from lesion_core.errors import ConfigError
from lesion_core.paths import absolute_address, absolute_path, expanded, expanded_address
from lesion_core.recipes.recipe import choose_recipe, parse_recipe
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from lesion_core.stores.open import open_store
from lesion_core.training.pretrained import weights_digest, with_local_weights
from tests.conftest import ROOT

_NOBODY = "~nobody-of-this-name"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_forms_of_a_tilde(home: Path) -> None:
    assert expanded("~/isic 2019") == home / "isic 2019"
    assert expanded("~") == home
    assert expanded("~/") == home
    assert expanded(f"~{getpass.getuser()}/x").is_absolute()
    for unchanged in ("plain", "a/~/b", "./~", "a~b", "/~/x"):
        assert expanded(unchanged) == Path(unchanged)
    with pytest.raises(ConfigError, match=_NOBODY):
        expanded(f"{_NOBODY}/x")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("~/store", "{home}/store"),
        ("~", "{home}"),
        ("file://~/store", "file://{home}/store"),
        ("file://~", "file://{home}"),
        ("s3://bucket/~x", "s3://bucket/~x"),
        ("file:///srv/~", "file:///srv/~"),
        ("", ""),
    ],
)
def test_the_address_of_a_store(home: Path, given: str, meant: str) -> None:
    assert expanded_address(given) == meant.format(home=home)
    assert absolute_address(given) == meant.format(home=home)


def test_what_is_relative_is_meant_from_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert absolute_address("store") == str(home / "store")
    assert absolute_path("work") == home / "work"


def test_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORE", "WORK", "RECIPES", "COMPARISONS"):
        monkeypatch.setenv(f"LESION_{name}", f"~/{name.lower()}")
    settings = LesionSettings()
    assert settings.store == str(home / "store")
    assert (settings.work, settings.recipes, settings.comparisons) == (
        home / "work",
        home / "recipes",
        home / "comparisons",
    )
    monkeypatch.setenv("LESION_STORE", "file://~/my store")
    assert open_store(LesionSettings()).root == home / "my store"
    monkeypatch.setenv("LESION_WORK", f"{_NOBODY}/work")
    with pytest.raises(ConfigError, match=f"LESION_WORK.*{_NOBODY}"):
        LesionSettings()


def test_a_recipe_and_its_weights(home: Path) -> None:
    content = yaml.safe_load((ROOT / "deployments/recipes/demo-synthetic.yaml").read_text())
    (home / "weights.h5").write_bytes(b"numbers")
    (home / "mine.yaml").write_text(yaml.safe_dump({**content, "weights": "~/weights.h5"}))
    recipe = choose_recipe("~/mine.yaml", Path("nowhere"))
    assert weights_digest(recipe.weights) == weights_digest(str(home / "weights.h5"))
    local = with_local_weights(recipe, LocalStore(home / "store"), home / "cache")
    assert local.weights == str(home / "weights.h5")
    with pytest.raises(ConfigError, match=f"{home}/none.yaml"):
        choose_recipe("~/none.yaml", Path("nowhere"))
    with pytest.raises(ConfigError, match=f"{home}/none.h5"):
        weights_digest("~/none.h5")
    with pytest.raises(ConfigError, match=_NOBODY):
        weights_digest(f"{_NOBODY}/w.h5")
    untouched = parse_recipe({**content, "weights": "none"}, source="test")
    assert with_local_weights(untouched, LocalStore(home / "store"), home / "cache") is untouched


def test_a_comparison(home: Path) -> None:
    with pytest.raises(ConfigError, match=f"{home}/mine.yaml|No such file"):
        choose_request("~/mine.yaml", Path("nowhere"))
    (home / "mine.yaml").write_text("nonsense: 1")
    with pytest.raises(ConfigError, match=f"{home}/mine.yaml"):
        choose_request("~/mine.yaml", Path("nowhere"))
