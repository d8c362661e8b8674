"""A command that reads a store says that it is not there, or that it is empty; it makes none."""

from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from deployments.cli import app
from lesion_core.errors import ConfigError
from tests.app.test_cli import lesion

_READING = (
    ("models",),
    ("card", "quick/0123456789ab"),
    ("test-access",),
    ("gc",),
    ("gc", "--delete"),
    ("predict", "."),
)


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


def test_a_file_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LESION_STORE", f"file://{tmp_path}/file")
    outcome = CliRunner().invoke(app, ["models"])
    assert outcome.exit_code == 1
    assert str(outcome.exception).startswith(f"expected a store in {tmp_path}/file, found a file there")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models",), "No models in file://"),
        (("test-access",), "No model was measured on a test split yet"),
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


def test_certificates_that_are_gone_do_not_matter_to_a_plain_server(tmp_path: Path) -> None:
    """Prefect alone would not start: it reads the variable when it is imported."""
    plain = "http://127.0.0.1:9/api"
    outcome = lesion("deploy", home=tmp_path, PREFECT_API_URL=plain, SSL_CERT_FILE=str(tmp_path / "none.pem"))
    assert f"ConfigError: expected a Prefect server at {plain}" in outcome.stderr
    assert "none.pem" not in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_certificates_that_are_gone_are_named_where_tls_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with temporary_settings({PREFECT_API_URL: "https://127.0.0.1:9/api"}):
        outcome = CliRunner().invoke(app, ["deploy"])
    assert isinstance(outcome.exception, ConfigError)
    assert str(outcome.exception).startswith("expected SSL_CERT_FILE to name certificates of authorities")
    assert str(tmp_path / "none.pem") in str(outcome.exception)
