"""The page below a path of a reverse proxy, in real Chromium, and its end while a browser still listens to it."""

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from lesion_core.labels import Diagnosis
from tests.app.conftest import Site, free_port, running_site

PREFIX = "/lesion"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length"}


def _handler(upstream: str) -> type[BaseHTTPRequestHandler]:
    """A proxy as nginx is with ``proxy_pass``: it cuts the path off, hands on ``Host``, and streams the answers."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix(PREFIX)
            if path == self.path:
                return self.send_error(404)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            request = httpx.Request(self.command, upstream + path, headers=headers, content=body or None)
            with httpx.Client(timeout=60, trust_env=False) as client, contextlib.suppress(OSError, httpx.HTTPError):
                answer = client.send(request, stream=True)
                self.send_response(answer.status_code)
                for name, value in answer.headers.multi_items():
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.end_headers()
                for part in answer.iter_raw():
                    self.wfile.write(part)
                    self.wfile.flush()
            return None

        do_POST = do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Proxy


@contextlib.contextmanager
def _proxied(upstream: str) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), _handler(upstream))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    """A page that knows its path, and the address that a browser has of it."""
    with (
        running_site(tmp_path_factory.mktemp("below"), LESION_PAGE_ROOT=PREFIX) as site,
        _proxied(site.url) as address,
    ):
        yield site, f"{address}{PREFIX}/"


def test_an_image_is_classified_below_a_path(
    below: tuple[Site, str], page: Page, lesion_jpeg: bytes, tmp_path: Path
) -> None:
    site, address = below
    model = site.approve(Diagnosis.MEL)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.get_by_role("button", name="Classify").wait_for()
    image = tmp_path / "lesion.jpg"
    image.write_bytes(lesion_jpeg)
    page.set_input_files("#upload input[type=file]", image)
    page.get_by_test_id("preview").wait_for()
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_test_id("answered-by")).to_have_text(model.id)
    elsewhere = [url for url in asked if url.startswith("http") and not url.startswith(address)]
    assert [url for url in elsewhere if not re.search(r"/(favicon\.ico|manifest\.json)$", url)] == []


def test_a_page_that_a_browser_still_listens_to_ends(tmp_path: Path, page: Page) -> None:
    """A tab holds a connection open for ever, so the server does not wait for it."""
    with running_site(tmp_path) as site:
        page.goto(site.url)
        page.get_by_role("button", name="Classify").wait_for()
        began = time.monotonic()
        site.process.terminate()
        site.process.wait(timeout=60)
        assert site.process.returncode == 0
    assert time.monotonic() - began < 30
