"""An HTTP server that misbehaves on request: what no real archive will show on demand."""

import contextlib
import hashlib
import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing drops what was not sent, and resets


def send(
    body: bytes | str | dict[str, Any],
    status: int = 200,
    headers: dict[str, str] | None = None,
    stated: int | None = None,
) -> Answer:
    """Answer with a whole body; ``stated`` lies about its length."""
    payload = (
        json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    )

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(payload) if stated is None else stated))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(payload)
        if stated is not None:
            handler.close_connection = True

    return answer


def reset_after(body: bytes, n_bytes: int) -> Answer:
    """Announce the whole body, send its beginning, then reset the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:n_bytes])
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        handler.close_connection = True

    return answer


def hang_up() -> Answer:
    """Close the connection without a word."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    return answer


def drip(body: bytes, seconds_per_byte: float) -> Answer:
    """Send one byte at a time, each well before a read would time out."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):
            for index in range(len(body)):
                handler.wfile.write(body[index : index + 1])
                handler.wfile.flush()
                time.sleep(seconds_per_byte)

    return answer


def stall(seconds: float) -> Answer:
    """Say nothing for a while, then close."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return answer


class _Server(ThreadingHTTPServer):
    """Resets connections that are to linger for no time, and takes it quietly when a client hangs up."""

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """End a connection, without a polite end where it is to be reset."""
        is_reset = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_AT_ONCE)) == _AT_ONCE
        self.close_request(request) if is_reset else super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Show what went wrong, unless it is the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class FaultyServer:
    """Answers by path: each request takes the next answer of its path, and the last one stays.

    Attributes:
        requests: Paths with their queries, in the order of arrival.
        bodies: What was posted.
        answers: What to answer, by path without query; ``"*"`` is for every other path.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # a body waits for nobody's acknowledgement of its headers

            def do_GET(self) -> None:
                outer.next_answer(self.path)(self)

            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                outer.next_answer(self.path)(self)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test output clean."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        """Base address of the API."""
        return f"{self.host}/api/v2/"

    def next_answer(self, target: str) -> Answer:
        """Note a request and return what to answer."""
        path = target.partition("?")[0]
        with self._lock:
            self.requests.append(target)
            answers = self.answers.get(path) or self.answers.get("*") or [send({"detail": "Not Found"}, 404)]
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, and forget connections that still hang."""
        self._server.shutdown()
        self._thread.join()
        self._server.block_on_close = False
        self._server.server_close()


class Shelf:
    """Files with version tags, as an object store has them, and what was sent of them.

    Attributes:
        sent: For each request its path, its status, and the bytes of its body.
    """

    def __init__(self, server: FaultyServer) -> None:
        self.sent: list[tuple[str, int, int]] = []
        self._server = server

    def put(self, path: str, body: bytes, tag: str | None = None) -> None:
        """Keep a file under a tag; the MD5 of its bytes, unless another is given."""
        stated = f'"{tag or hashlib.md5(body, usedforsecurity=False).hexdigest()}"'

        def answer(handler: BaseHTTPRequestHandler) -> None:
            is_known = handler.headers.get("If-None-Match") == stated
            status, payload = (304, b"") if is_known else (200, body)
            self.sent.append((path, status, len(payload)))
            send(payload, status, {"ETag": stated})(handler)

        self._server.answers[path] = [answer]

    def take_count(self) -> tuple[int, int, int]:
        """Return the answers 304, the answers 200 and their bytes, and begin again."""
        statuses = [status for _, status, _ in self.sent]
        counted = statuses.count(304), statuses.count(200), sum(n_bytes for *_, n_bytes in self.sent)
        self.sent.clear()
        return counted


@contextlib.contextmanager
def faulty_server() -> Iterator[FaultyServer]:
    """Run a server for the length of a ``with`` block."""
    server = FaultyServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def listed(number: int, url: str = "http://127.0.0.1:1/none.jpg", **clinical: object) -> dict[str, Any]:
    """Return an image's entry as the archive lists it."""
    file = {"url": url, "size": 1}
    facts = {"diagnosis_1": "Benign", "diagnosis_2": "Benign melanocytic proliferations", "diagnosis_3": "Nevus"}
    return {
        "isic_id": f"ISIC_{number:07d}",
        "copyright_license": "CC-0",
        "attribution": "Clinic A",
        "files": {"full": file, "thumbnail_256": file},
        "metadata": {"acquisition": {"image_type": "dermoscopic"}, "clinical": {**facts, **clinical}},
        "public": True,
    }


def page(results: list[dict[str, Any]], count: int | None = None, following: str | None = None) -> dict[str, Any]:
    """Return a page of a listing."""
    return {"results": results, "count": count, "next": following, "previous": None}
