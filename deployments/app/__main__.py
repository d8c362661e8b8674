"""``python -m deployments.app``: serve the page until it is stopped."""

import asyncio
import logging
import os
import signal
import sys
import tempfile
from typing import NoReturn

import uvicorn

from lesion_core.certificates import set_unusable_aside
from lesion_core.errors import LesionError
from lesion_core.settings import LesionSettings

log = logging.getLogger("deployments.app")
# Answers in hand may finish; a browser's tab, which holds a connection open for ever, is not waited for.
_LAST_SECONDS = 5


def main() -> int:
    """Serve the page where the settings say; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    set_unusable_aside()  # Gradio and what it brings read such variables when they are imported
    try:
        settings = LesionSettings()
    except LesionError as error:
        return _say(error)
    _forget_gradio_variables()
    if not settings.page_users and settings.page_host not in ("127.0.0.1", "::1", "localhost"):
        log.warning(
            "the page listens on %s and asks for no login; set LESION_PAGE_USERS=name:password", settings.page_host
        )
    # Uvicorn hands a SIGTERM on when it has shut down; without this the folder below would stay behind.
    signal.signal(signal.SIGTERM, _leave)
    # Uploads pass through a folder that only this process may read and that goes when it ends.
    with tempfile.TemporaryDirectory(prefix="lesion-page-") as folder:
        tempfile.tempdir = folder
        try:
            _serve(settings)
        except LesionError as error:
            return _say(error)
        finally:
            tempfile.tempdir = None
    return 0


class _CutConnections(logging.Filter):
    """Leaves out what uvicorn says of connections that it cuts at its end: an end that was asked for is no error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        kind = record.exc_info[0] if record.exc_info else None
        is_cut = kind is not None and issubclass(kind, asyncio.CancelledError)
        return not (is_cut or record.getMessage().startswith("Cancel "))


def _serve(settings: LesionSettings) -> None:
    from deployments.app.server import create_app  # Gradio picks its folder for uploads when it is imported

    logging.getLogger("uvicorn.error").addFilter(_CutConnections())
    uvicorn.run(
        create_app(settings),
        host=settings.page_host,
        port=settings.page_port,
        access_log=False,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )


def _forget_gradio_variables() -> None:
    """Take away what the shell sets for other pages: Gradio's variables would move uploads out of the private folder,
    or end the start. They are read when Gradio is imported, and later.
    """
    unused = sorted(name for name in os.environ if name.startswith("GRADIO_"))
    for name in unused:
        del os.environ[name]
    if unused:
        log.warning("%s: not used; the settings of this page are LESION_PAGE_…", ", ".join(unused))


def _say(error: LesionError) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1


def _leave(*_: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
