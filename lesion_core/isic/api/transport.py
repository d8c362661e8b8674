"""One request, done patiently: retries with growing waits, limits on time and size, errors in our own words."""

import contextlib
import email.utils
import functools
import http.client
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import httpx

from lesion_core.archive_fields import DIAGNOSIS
from lesion_core.certificates import OF_HTTPX, require_certificates
from lesion_core.errors import ConfigError, LesionError, SourceResponseError, SourceUnavailable
from lesion_core.isic.api.wire import Wire, WireResponse
from lesion_core.proxies import LOOPBACK, goes_direct

_TOO_MANY_REQUESTS = 429
_BAD_REQUEST = 400
_NOT_MODIFIED = 304
_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501
_AGENT = "lesionflow"
# httpx's own reading of NO_PROXY decides about all other hosts.
_BESIDE_PROXIES = {
    f"all://{host}": None for host in ("*.localhost", *(f"[{name}]" if ":" in name else name for name in LOOPBACK))
}
_FILE_HEADERS = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
_QUERY_HINT = (
    f'write field:value with values of several words in double quotes, as in {DIAGNOSIS[2]}:"Basal cell carcinoma", '
    "and AND / OR in capitals; a shell needs single quotes around the whole query"
)
# The archive's parser takes these, and its database then fails.
_FAULT_HINT = (
    ", and leave blurry, hairy, marker_pen and color_tint out of the query: the archive fails on these fields"
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an archive.

    Attributes:
        attempts: Most attempts at one request.
        first_wait_seconds: Wait after the first failure; doubles after each further one, with jitter.
        longest_wait_seconds: Longest wait between attempts, also where the archive asks for more.
        connect_seconds: Limit for opening a connection.
        read_seconds: Limit for the next bytes to arrive.
        request_seconds: Limit for one request in all, retries and waits included: a body that drips in
            steadily but slowly ends here.
        most_bytes: Limit for one body.
    """

    attempts: int = 5
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0
    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    request_seconds: float = 180.0
    most_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, whole.

    Attributes:
        status: 2xx, or 304 where the request named the version that is there already.
        body: As sent; empty where it went into a sink.
        etag: The server's version tag without quotation marks, if it gave a strong one.
    """

    status: int
    body: bytes
    etag: str | None

    @property
    def is_unchanged(self) -> bool:
        """Whether the server said that the named version is still the one it has."""
        return self.status == _NOT_MODIFIED


class Transport:
    """Requests over connections that stay open; safe to use from several threads.

    Args:
        connections: Most connections at a time.
        patience: Limits and retries.
        sleep: How to wait.
        clock: Monotonic seconds.
        rng: Source of the jitter.
    """

    def __init__(
        self,
        *,
        connections: int,
        patience: Patience,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._patience = patience
        self._sleep = sleep
        self._clock = clock
        self._rng = rng or random.Random()
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.Client(
            limits=limits,
            timeout=httpx.Timeout(patience.read_seconds, connect=patience.connect_seconds, pool=None),
            follow_redirects=True,
            verify=_trust(),
            headers={"User-Agent": _AGENT},
            mounts=_BESIDE_PROXIES,
        )
        self._wire = Wire(
            connect_seconds=patience.connect_seconds,
            read_seconds=patience.read_seconds,
            trust=_trust(),
        )
        self._goes_direct = functools.cache(goes_direct)  # asked once for each host, not for each file

    def close(self) -> None:
        """Close every connection."""
        self._client.close()
        self._wire.close()

    def get(self, address: httpx.URL, *, sink: BinaryIO | None = None) -> Answer:
        """Return a successful answer to a GET; with a sink, the body goes there block by block.

        Raises:
            SourceUnavailable: No whole answer in spite of retries: no connection, 429, 5xx, cut short, too slow.
            SourceResponseError: The archive refuses the request (other 4xx); not retried.
            ConfigError: The address is https, and the file of trusted certificates cannot be used.
        """
        request = self._client.build_request("GET", address)
        return self._patiently(lambda deadline: self._exchange(request, deadline, sink))

    def post(self, address: httpx.URL, value: object) -> Answer:
        """Return a successful answer to a POST of JSON; it must be safe to repeat. Raises as ``get`` does."""
        request = self._client.build_request("POST", address, json=value)
        return self._patiently(lambda deadline: self._exchange(request, deadline))

    def get_file(self, address: httpx.URL, *, unless: str | None = None) -> Answer:
        """Return a stored file as it is stored, never compressed on the way.

        Args:
            address: Where.
            unless: Version tag of the bytes at hand; where the server still has that version, nothing is sent.

        Raises as ``get`` does.
        """
        headers = _FILE_HEADERS | ({"If-None-Match": f'"{unless}"'} if unless else {})
        return self._patiently(lambda deadline: self._exchange_file(address, headers, deadline))

    def _patiently(self, exchange: Callable[[float], Answer]) -> Answer:
        deadline = self._clock() + self._patience.request_seconds
        attempt = 0
        while True:
            try:
                return exchange(deadline)
            except SourceUnavailable as error:
                wait = self._wait_seconds(attempt, error)
                attempt += 1
                if attempt == self._patience.attempts or self._clock() + wait >= deadline:
                    raise
            self._sleep(wait)

    def _exchange(self, request: httpx.Request, deadline: float, sink: BinaryIO | None = None) -> Answer:
        with _translate(request.url), contextlib.closing(self._client.send(request, stream=True)) as response:
            return self._answer(response, response.url, deadline, sink)

    def _exchange_file(self, address: httpx.URL, headers: Mapping[str, str], deadline: float) -> Answer:
        """Ask for a file on the short way, or in general where that does not lead to it."""
        # A proxy is something that only the general client knows.
        if not address.userinfo and self._goes_direct(address.scheme, address.host):
            with _translate(address), contextlib.closing(self._wire.get(address, headers)) as response:
                if response.is_plain:
                    return self._answer(response, address, deadline)
        return self._exchange(self._client.build_request("GET", address, headers=dict(headers)), deadline)

    def _answer(
        self,
        response: httpx.Response | WireResponse,
        address: httpx.URL,
        deadline: float,
        sink: BinaryIO | None = None,
    ) -> Answer:
        # A body shorter than its announced length is an error of the protocol, so it never gets here.
        blocks = self._blocks(response.iter_bytes(), address, deadline)
        status, headers = response.status_code, response.headers
        if not (200 <= status < 300 or status == _NOT_MODIFIED):
            raise _refusal(status, address, headers.get("Retry-After"), b"".join(blocks))
        return Answer(status, _collected(blocks, sink), _strong_tag(headers.get("ETag")))

    def _blocks(self, blocks: Iterator[bytes], address: httpx.URL, deadline: float) -> Iterator[bytes]:
        n_bytes = 0
        for block in blocks:
            n_bytes += len(block)
            if n_bytes > self._patience.most_bytes:
                raise SourceResponseError(
                    f"expected at most {self._patience.most_bytes:,} bytes from {_shown(address)}, got more; leave "
                    "this file out",
                    reason=f"it is larger than {self._patience.most_bytes:,} bytes",
                )
            if self._clock() > deadline:
                raise SourceUnavailable(
                    f"expected {_shown(address)} within {self._patience.request_seconds:g} seconds, got {n_bytes:,} "
                    "bytes by then; check the connection and run it again",
                    reason=f"it came too slowly ({n_bytes:,} bytes in {self._patience.request_seconds:g} seconds)",
                )
            yield block

    def _wait_seconds(self, attempt: int, error: LesionError) -> float:
        asked = error.context.get("retry_after_seconds")
        longest = self._patience.longest_wait_seconds
        if asked is not None:
            return min(float(asked), longest)
        # Between half and all of the growing wait, so that workers that failed together come back apart.
        return min(self._patience.first_wait_seconds * 2**attempt, longest) * self._rng.uniform(0.5, 1.0)


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return the certificates that are trusted, read once: that takes longer than many a file.

    Where they cannot be used, none is trusted, and a request that needs them says why: a server that speaks plain
    HTTP needs none.
    """
    try:
        require_certificates(OF_HTTPX)
    except ConfigError:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.create_ssl_context()


@contextlib.contextmanager
def _translate(address: httpx.URL) -> Iterator[None]:
    """Raise what httpx raises in our own words; the one place that knows its exceptions."""
    if address.scheme == "https":
        require_certificates(OF_HTTPX)
    try:
        yield
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            require_certificates(OF_HTTPX)  # a redirect has led to https
        raise SourceUnavailable(
            f"expected the archive at {address.host}{f':{address.port}' if address.port else ''} to answer, but it "
            f"cannot be reached ({error}); check the network and the address (LESION_ARCHIVE_URL), or serve a "
            "downloaded folder with `lesion mirror FOLDER`",
            host=address.host,
            reason="the archive cannot be reached",
        ) from error
    except httpx.TimeoutException as error:
        raise SourceUnavailable(
            f"expected {_shown(address)} to answer in time, got {type(error).__name__}; check the network and run it "
            "again",
            host=address.host,
            reason="the archive did not answer in time",
        ) from error
    except (httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.DecodingError) as error:
        raise SourceResponseError(
            f"expected a usable answer from {_shown(address)}, got: {error}; check the address"
        ) from error
    except httpx.TransportError as error:
        raise SourceUnavailable(
            f"expected a whole answer from {_shown(address)}, but the connection broke ({error}); run it again",
            host=address.host,
            reason="the connection broke",
        ) from error


def _refusal(status: int, address: httpx.URL, retry_after: str | None, body: bytes) -> LesionError:
    """Return the error that a status other than 2xx means."""
    stated = f"{status} {http.client.responses.get(status, '')}".strip()
    facts = {"status": status, "host": address.host, "reason": f"the archive answered {stated}"}
    shown = _shown(address)
    if status == _TOO_MANY_REQUESTS or (status >= 500 and status != _NOT_IMPLEMENTED):
        hint = _FAULT_HINT if status == _SERVER_ERROR and "query" in address.params else ""
        return SourceUnavailable(
            f"expected {shown} to answer, got {stated} again and again; wait and run it again{hint}",
            retry_after_seconds=_retry_after(retry_after),
            **facts,
        )
    if status == _BAD_REQUEST and "query" in address.params:
        return SourceResponseError(
            f"the archive could not parse the search query {address.params['query']!r}; {_QUERY_HINT}", **facts
        )
    return SourceResponseError(
        f"expected {shown} to be there for everybody, got {stated} ({in_short(body)})",
        **facts,
    )


def in_short(body: bytes) -> str:
    """Return what an answer says, for a message: its beginning, or that it is a web page, whose text says nothing."""
    start = body[:120].decode(errors="replace").strip()
    is_page = start.lower().startswith(("<!doctype html", "<html"))
    return "an HTML page" if is_page else start or "nothing"


def _collected(blocks: Iterator[bytes], sink: BinaryIO | None) -> bytes:
    """Return the body, or write it into the sink from its beginning: an earlier attempt may have left a part."""
    if sink is None:
        return b"".join(blocks)
    sink.seek(0)
    sink.truncate()
    for block in blocks:
        sink.write(block)
    return b""


def _strong_tag(value: str | None) -> str | None:
    """Return an ETag without its quotation marks; a weak one (``W/``) does not name bytes and counts as none."""
    return value[1:-1] or None if value and value.startswith('"') and value.endswith('"') and len(value) > 1 else None


def _retry_after(value: str | None) -> float | None:
    """Return the wait that a ``Retry-After`` header asks for, in seconds: a number or an HTTP date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _shown(address: httpx.URL) -> str:
    """Return an address for a message: no password, no signature."""
    return str(address.copy_with(username=None, password=None, query=None))
