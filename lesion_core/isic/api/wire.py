"""Plain GETs of stored files over connections that stay open, one for each thread and host.

An archive keeps hundreds of thousands of small files, and a general client's own work on a request (cookies,
redirects, authentication, pools) costs more than such a transfer. This does nothing but ask and read: what it cannot
do itself, a redirect or an encoded body, it says, and the caller asks in the general way.
"""

import contextlib
import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping

import httpx

_BLOCK_BYTES = 1 << 16
_Connection = http.client.HTTPConnection
# What a connection that the server has closed meanwhile looks like at the next request.
_CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.CannotSendRequest)


class Wire:
    """Connections of all threads; to be closed after use.

    Args:
        connect_seconds: Limit for opening a connection.
        read_seconds: Limit for the next bytes to arrive.
        trust: Certificates that are trusted.
    """

    def __init__(self, *, connect_seconds: float, read_seconds: float, trust: ssl.SSLContext) -> None:
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._trust = trust
        self._own = threading.local()
        self._all: list[_Connection] = []

    def close(self) -> None:
        """Close every connection of every thread."""
        for connection in self._all:
            connection.close()

    def get(self, address: httpx.URL, headers: Mapping[str, str]) -> "WireResponse":
        """Send a GET and return its answer, whose body is yet to be read.

        Raises:
            httpx.ConnectError: No connection.
            httpx.TimeoutException: No answer in time.
            httpx.ReadError: The connection broke.
        """
        connection, is_new = self._connection(address)
        with _as_httpx(connection):
            try:
                return self._send(connection, address, headers, is_new)
            except _CLOSED:
                connection.close()
                if is_new:
                    raise
            return self._send(connection, address, headers, True)

    def _send(
        self, connection: _Connection, address: httpx.URL, headers: Mapping[str, str], is_new: bool
    ) -> "WireResponse":
        if is_new:
            self._open(connection)
        connection.request("GET", address.raw_path.decode("ascii"), headers=dict(headers))
        return WireResponse(connection, connection.getresponse())

    def _connection(self, address: httpx.URL) -> tuple[_Connection, bool]:
        """Return this thread's connection to a host, and whether it is yet to be opened."""
        mine = self._own.__dict__.setdefault("connections", {})
        place = (address.scheme, address.host, address.port)
        if place not in mine:
            mine[place] = self._made(address)
            self._all.append(mine[place])
        return mine[place], mine[place].sock is None

    def _made(self, address: httpx.URL) -> _Connection:
        if address.scheme == "https":
            return http.client.HTTPSConnection(
                address.host, address.port, timeout=self._connect_seconds, context=self._trust
            )
        return http.client.HTTPConnection(address.host, address.port, timeout=self._connect_seconds)

    def _open(self, connection: _Connection) -> None:
        try:
            connection.connect()
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        connection.sock.settimeout(self._read_seconds)


class WireResponse:
    """The answer to one GET; closing it early closes its connection, as what is left of it would be in the way."""

    def __init__(self, connection: _Connection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response

    @property
    def status_code(self) -> int:
        """The status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, whatever the case of their names."""
        return self._response.headers  # type: ignore[return-value]

    @property
    def is_plain(self) -> bool:
        """Whether the body is the file itself: not a redirect, and not encoded."""
        is_redirect = 300 <= self.status_code < 400 and self._response.headers.get("Location") is not None
        return not is_redirect and self._response.headers.get("Content-Encoding", "identity") == "identity"

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            httpx.ReadTimeout: Nothing came in time.
            httpx.RemoteProtocolError: It ended before its announced length.
            httpx.ReadError: The connection broke.
        """
        with _as_httpx(self._connection):
            while block := self._response.read1(_BLOCK_BYTES):
                yield block
            if self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
            self._response.close()  # so that the connection takes the next request

    def close(self) -> None:
        """Make the connection ready for the next request, or close it where this answer was not read to its end."""
        if not self._response.isclosed():
            self._connection.close()


@contextlib.contextmanager
def _as_httpx(connection: _Connection) -> Iterator[None]:
    """Close a connection that failed, and raise what happened as the general client would."""
    try:
        yield
    except httpx.TransportError:
        connection.close()
        raise
    except TimeoutError as error:
        connection.close()
        raise httpx.ReadTimeout(str(error)) from error
    except http.client.HTTPException as error:
        connection.close()
        raise httpx.RemoteProtocolError(str(error) or type(error).__name__) from error
    except OSError as error:
        connection.close()
        raise httpx.ReadError(str(error)) from error
