"""Settings come from LESION_* and keep secrets to themselves."""

import pytest

from lesion_core.errors import ConfigError
from lesion_core.settings import LesionSettings


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_STORE", "s3://lesion/prod")
    monkeypatch.setenv("LESION_PAGE_USERS", "ann:one, bob:two")
    settings = LesionSettings()
    assert settings.store == "s3://lesion/prod"
    assert settings.page_users == ("ann:one", "bob:two")


def test_a_secret_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_S3_SECRET_KEY", "hunter2")
    assert "hunter2" not in repr(LesionSettings())


def test_a_value_out_of_bounds_names_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_PAGE_PORT", "70000")
    with pytest.raises(ConfigError, match=r"LESION_PAGE_PORT .* got '70000'"):
        LesionSettings()


def test_images_unlike_the_training_are_refused_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LesionSettings().ood_policy == "refuse"
    monkeypatch.setenv("LESION_OOD_POLICY", "note")
    assert LesionSettings().ood_policy == "note"
    monkeypatch.setenv("LESION_OOD_POLICY", "ignore")
    with pytest.raises(ConfigError, match="LESION_OOD_POLICY"):
        LesionSettings()


def test_a_study_storage_left_empty_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_STUDY_STORAGE", "")
    assert LesionSettings().study_storage is None


@pytest.mark.parametrize("name", ["s3_endpoint", "s3_access_key", "s3_secret_key"])
def test_what_a_compose_file_hands_on_empty_is_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"LESION_{name.upper()}", "")
    assert getattr(LesionSettings(), name) is None


def test_a_line_break_after_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_S3_SECRET_KEY", "hunter2\r\n")
    secret = LesionSettings().s3_secret_key
    assert secret is not None
    assert secret.get_secret_value() == "hunter2"


@pytest.mark.parametrize("root", ["lesion", "/lesion?x=1", "ftp://clinic.example/lesion"])
def test_a_pages_root_is_a_path_or_an_address(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_PAGE_ROOT", root)
    with pytest.raises(ConfigError, match="LESION_PAGE_ROOT"):
        LesionSettings()
