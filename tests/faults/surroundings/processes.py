"""The shell, the locale and the terminal that a command or the page is started from."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd

from deployments.scoring.run import score
from lesion_core.errors import ConfigError
from lesion_core.registry.channels import move_channel
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from tests.app.conftest import running_site
from tests.conftest import ROOT
from tests.faults.expected import Refused
from tests.faults.images import noise
from tests.faults.page import now
from tests.faults.surroundings.case import Place, SurroundingCase, Works
from tests.model_folders import publish_model

_POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def _command(*arguments: str, without: str = "", **variables: str) -> str:
    """Run ``lesion`` to its end; return what it printed, as bytes that may be of any encoding."""
    environment = {name: value for name, value in os.environ.items() if name != without}
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        timeout=120,
        check=False,
        umask=0o077,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"Traceback" not in done.stderr
    return done.stdout.decode(errors="replace")


def _help_in_ascii(place: Place) -> None:
    assert "images ? dataset" in _command("demo", "--help", PYTHONIOENCODING="ascii", COLUMNS="200")


def _score(place: Place, without: str = "", **variables: str) -> None:
    """Score two images with umlauts in their names by an approved model."""
    store = LocalStore(place.folder / "Größe" / "store")
    model = publish_model(store, place.folder / "scratch")
    move_channel(store, "approved", model, action="approve", approver="Dr Grey", reason="tested", clock=now)
    images = place.folder / "Bilder für Ärzte"
    images.mkdir()
    for name in ("links.jpg", "größer.jpg"):
        (images / name).write_bytes(noise())
    output = place.folder / "answers.csv"
    paths = {"LESION_STORE": str(store.root), "LESION_WORK": str(place.folder / "work")}
    printed = _command("predict", str(images), "--output", str(output), without=without, **paths, **variables)
    assert printed.startswith("2 images scored, 0 refused")
    assert set(pd.read_csv(output)["image"]) == {"links.jpg", "größer.jpg"}


def _bare_shell(place: Place) -> None:
    _score(place, without="HOME", TMPDIR="/nowhere", TZ="Mars/Phobos", **_POSIX)


def _name_in_latin1(place: Place) -> None:
    """Score a folder with a file whose name is bytes of Latin-1."""
    store = LocalStore(place.folder / "store")
    model = publish_model(store, place.folder / "scratch")
    (place.folder / "images").mkdir()
    name = os.fsencode(place.folder / "images") + "/größer.jpg".encode("latin-1")
    Path(os.fsdecode(name)).write_bytes(noise())
    settings = LesionSettings(store=str(store.root), work=place.folder / "work")
    output = place.folder / "answers.csv"
    summary = score(settings, place.folder / "images", output, model_id=model.id)
    assert (summary.n_scored, summary.n_refused) == (1, 0)
    assert list(pd.read_csv(output)["image"]) == ["gr\ufffd\ufffder.jpg"]


def _strict_python(place: Place) -> None:
    _score(
        place,
        PYTHONOPTIMIZE="2",
        PYTHONSAFEPATH="1",
        PYTHONWARNINGS="error",
        PYTHONDONTWRITEBYTECODE="1",
        VIRTUAL_ENV="/nowhere",
    )


def _a_word_for_a_number(place: Place) -> None:
    place.patch.setenv("LESION_THREADS", "all")
    LesionSettings()


def _gradio_variables(place: Place) -> None:
    """Start the page where the shell has settings for others: it takes none, and tells which."""
    elsewhere = place.folder / "elsewhere"
    others = {
        "GRADIO_TEMP_DIR": str(elsewhere),
        "GRADIO_SERVER_PORT": "any",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_ROOT_PATH": "/elsewhere",
        "GRADIO_SHARE": "True",
        "GRADIO_ALLOWED_PATHS": "/etc",
    }
    with running_site(place.folder / "site", LESION_PAGE_ROOT="/lesion", **others) as site:
        assert f'"root":"{site.url}/lesion"' in httpx.get(site.url).text
        files = {"files": ("mole.jpg", noise(), "image/jpeg")}
        (path,) = httpx.post(f"{site.url}/gradio_api/upload", files=files).json()
        assert Path(path).is_relative_to(site.folder / "tmp")
        assert httpx.get(f"{site.url}/gradio_api/file=/etc/hostname").status_code == 403
    assert not elsewhere.exists()
    log = (place.folder / "site" / "page.log").read_text()
    assert all(name in log for name in others)
    assert site.uploads() == []


PROCESS_CASES = (
    SurroundingCase(
        "a terminal that takes ASCII alone",
        "Rafficer/linux-cli-community#145",
        Works("with question marks for what the terminal cannot show"),
        _help_in_ascii,
    ),
    SurroundingCase(
        "no HOME, a TMPDIR that is not there, an unknown TZ, umask 077, the POSIX locale, umlauts in names",
        "apple/container#108",
        Works("like anywhere else"),
        _bare_shell,
    ),
    SurroundingCase(
        "an image whose name is no UTF-8, as old zip files hold",
        "aboutcode-org/scancode-toolkit#688",
        Works("with question marks for what the name cannot show"),
        _name_in_latin1,
    ),
    SurroundingCase(
        "PYTHONOPTIMIZE=2, PYTHONSAFEPATH=1, PYTHONWARNINGS=error, VIRTUAL_ENV of another environment",
        "",
        Works("like anywhere else"),
        _strict_python,
    ),
    SurroundingCase(
        "an invalid setting: LESION_THREADS=all",
        "",
        Refused(ConfigError, "expected LESION_THREADS to be a usable value, got 'all'"),
        _a_word_for_a_number,
    ),
    SurroundingCase(
        "GRADIO_TEMP_DIR, GRADIO_ROOT_PATH, GRADIO_SERVER_PORT and others of another page in the shell",
        "gradio-app/gradio#5109",
        Works("none of them is used; a warning names them, and uploads stay in the private folder"),
        _gradio_variables,
    ),
)
