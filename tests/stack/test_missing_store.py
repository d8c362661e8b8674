"""A command that reads a store says that it is not there, or that it is empty; it makes none."""

from pathlib import Path

import pytest

from tests.app.test_cli import lesion

_READING = (("models",), ("card", "quick/0123456789ab"), ("looks",), ("gc",), ("gc", "--delete"), ("predict", "."))


@pytest.mark.parametrize("arguments", _READING, ids=" ".join)
def test_a_store_that_is_not_there(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    missing = tmp_path / "nowhere" / "store"
    outcome = lesion(*arguments, home=tmp_path, LESION_STORE=str(missing))
    assert outcome.returncode == 1
    assert f"ConfigError: expected a store in {missing}, found nothing there" in outcome.stderr
    assert outcome.stdout == ""
    assert not missing.parent.exists()


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = lesion("models", home=tmp_path, LESION_STORE=f"file://{tmp_path}/file")
    assert outcome.returncode == 1
    assert "found a file there" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models",), "No models in file://"),
        (("looks",), "No model was measured on a test split yet"),
        (("looks", "isic"), "No model was measured on a test split of isic yet"),
        (("gc",), "Nothing to delete in file://"),
    ],
)
def test_an_empty_store_is_called_empty(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "store").mkdir()
    outcome = lesion(*arguments, home=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert said in outcome.stdout
    assert list((tmp_path / "store").iterdir()) == []


def test_a_setting_that_cannot_be_one_is_one_sentence(tmp_path: Path) -> None:
    outcome = lesion("models", home=tmp_path, LESION_PAGE_PORT="70000")
    assert outcome.returncode == 1
    assert "ConfigError: LESION_PAGE_PORT='70000' cannot be used" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_certificates_that_are_gone_matter_where_tls_is_spoken(tmp_path: Path) -> None:
    """Prefect alone would not start: it reads the variable when it is imported."""
    gone = {"SSL_CERT_FILE": str(tmp_path / "none.pem")}
    outcome = lesion("deploy", home=tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api", **gone)
    assert "expected a Prefect server at http://127.0.0.1:9/api" in outcome.stderr
    outcome = lesion("deploy", home=tmp_path, PREFECT_API_URL="https://127.0.0.1:9/api", **gone)
    assert "ConfigError: expected SSL_CERT_FILE" in outcome.stderr
    assert "none.pem" in outcome.stderr
    outcome = lesion("up", "--home", str(tmp_path / "home"), home=tmp_path, **gone)  # asks the real archive
    assert "ConfigError: expected SSL_CERT_FILE" in outcome.stderr
    for text in (outcome.stdout, outcome.stderr):
        assert "Traceback" not in text
