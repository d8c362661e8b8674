"""The page behind a proxy that shows it below a path, in real Chromium."""

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lesion_core.labels import Diagnosis
from tests.app.conftest import Site, free_port, running_site

PREFIX = "/skin"


class _Proxy(BaseHTTPRequestHandler):
    """Hands on what lies below the prefix, piece by piece as it comes, and knows nothing else."""

    page_port = 0

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.startswith(f"{PREFIX}/"):
            self.send_error(404)
            return
        page = http.client.HTTPConnection("127.0.0.1", self.page_port)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        page.request(self.command, self.path.removeprefix(PREFIX), body, headers)
        answer = page.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        while block := answer.read1(65536):
            self.wfile.write(block)
            self.wfile.flush()

    do_POST = do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that leaves is no fault."""


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[str, Site]]:
    """The page's address behind the proxy, and the page."""
    with running_site(tmp_path / "site", LESION_PAGE_ROOT=PREFIX) as site:
        handler = type("Handler", (_Proxy,), {"page_port": int(site.url.rpartition(":")[2])})
        server = _Server(("127.0.0.1", free_port()), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}/", site
        server.shutdown()
        server.server_close()


def test_the_page_answers_below_a_path(
    proxied: tuple[str, Site], page: Page, tmp_path: Path, lesion_jpeg: bytes
) -> None:
    url, site = proxied
    model = site.approve(Diagnosis.VASC)
    (tmp_path / "mole.jpg").write_bytes(lesion_jpeg)
    missing: list[str] = []
    page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    page.goto(url)
    page.get_by_role("button", name="Classify").wait_for()
    page.set_input_files("#upload input[type=file]", tmp_path / "mole.jpg")
    page.get_by_test_id("preview").wait_for()
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_test_id("answered-by")).to_have_text(model.id)
    assert [address for address in missing if not address.endswith("/favicon.ico")] == []
