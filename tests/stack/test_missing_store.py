"""A command that reads a store says that it is not there, or that it is empty; it makes none."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from lesion_core.errors import ConfigError
from tests.app.test_cli import lesion

_READING = (("models",), ("card", "quick/0123456789ab"), ("looks",), ("gc",), ("gc", "--delete"), ("predict", "."))


@pytest.mark.parametrize("arguments", _READING, ids=" ".join)
def test_a_store_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    missing = tmp_path / "nowhere" / "store"
    for store in (str(missing), missing.as_uri()):
        monkeypatch.setenv("LESION_STORE", store)
        outcome = CliRunner().invoke(app, arguments)
        assert outcome.exit_code == 1
        assert isinstance(outcome.exception, ConfigError)
        assert f"expected a store in {missing}, found nothing there" in str(outcome.exception)
        assert outcome.stdout == ""
    assert not missing.parent.exists()


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = lesion("models", home=tmp_path, LESION_STORE=f"file://{tmp_path}/file")
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"ConfigError: expected a store in {tmp_path}/file, found a file there")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models",), "No models in file://"),
        (("looks",), "No model was measured on a test split yet"),
        (("looks", "isic"), "No model was measured on a test split of isic yet"),
        (("gc",), "Nothing to delete in file://"),
    ],
)
def test_an_empty_store_is_called_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("LESION_STORE", str(tmp_path / "store"))
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.exception
    assert said in outcome.stdout
    assert list((tmp_path / "store").iterdir()) == []


def test_a_setting_that_cannot_be_one_is_one_sentence(tmp_path: Path) -> None:
    outcome = lesion("models", home=tmp_path, LESION_PAGE_PORT="70000")
    assert outcome.returncode == 1
    assert "ConfigError: LESION_PAGE_PORT='70000' cannot be used" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:9/api", "expected a Prefect server at http://127.0.0.1:9/api"),
        ("https://127.0.0.1:9/api", "expected SSL_CERT_FILE to name"),
    ],
)
def test_certificates_that_are_gone_matter_where_tls_is_spoken(tmp_path: Path, address: str, said: str) -> None:
    """Prefect alone would not start: it reads the variable when it is imported."""
    missing = str(tmp_path / "none.pem")
    outcome = lesion("deploy", home=tmp_path, PREFECT_API_URL=address, SSL_CERT_FILE=missing)
    assert f"ConfigError: {said}" in outcome.stderr
    assert (missing in outcome.stderr) == address.startswith("https")
    assert "Traceback" not in outcome.stderr
