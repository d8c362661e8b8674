"""Waiting for another process."""

import http.server
import threading
import time

import pytest

from deployments.stack.addresses import answers, direct_client, free_port
from deployments.stack.waiting import wait_for


def test_the_first_true_answer_is_returned() -> None:
    given = iter(["", "", "up", "later"])
    assert wait_for(lambda: next(given), seconds=60, pause_seconds=0) == "up"
    assert next(given) == "later"


def test_in_vain_it_ends_in_time_with_the_last_answer() -> None:
    began = time.monotonic()
    assert wait_for(lambda: 0, seconds=0.1, pause_seconds=0.01) == 0
    assert 0.1 <= time.monotonic() - began < 10


def test_nothing_is_asked_once_it_is_hopeless() -> None:
    """A process that ended may have left its port to another, which answers."""
    asked: list[int] = []
    assert wait_for(lambda: asked.append(1), seconds=60, is_hopeless=lambda: len(asked) == 2, pause_seconds=0) is None
    assert len(asked) == 2


def test_what_the_question_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: 1 / 0, seconds=60)


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


def test_servers_of_this_machine_are_asked_past_proxies_and_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{free_port(0)}"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nowhere)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with http.server.HTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert answers(f"{url}/well")
        assert not answers(f"{url}/ill")
        with direct_client(timeout_seconds=10) as client:
            assert client.get(f"{url}/ill").status_code == 503
        server.shutdown()
    assert not answers(nowhere)
