"""A real small proxy on the loopback interface: it notes what it is asked for, and answers by itself."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@dataclass
class Proxy:
    """A proxy that runs.

    Attributes:
        url: Its address.
        requests: Method and target of every request, in order.
        answer: Body of every answer to a plain request; CONNECT is refused.
    """

    url: str
    requests: list[str] = field(default_factory=list)
    answer: bytes = b"{}"

    def variables(self, *names: str) -> dict[str, str]:
        """Return an environment that names this proxy, in all ways or in those given."""
        return dict.fromkeys(names or VARIABLES, self.url)


@contextlib.contextmanager
def running_proxy() -> Iterator[Proxy]:
    """Run a proxy for the length of a ``with`` block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            proxy.requests.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200 if self.command != "CONNECT" else 502)
            body = proxy.answer if self.command != "CONNECT" else b""
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"of-the-proxy"')
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_CONNECT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
