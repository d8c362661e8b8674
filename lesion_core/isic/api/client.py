"""The archive's v2 API over HTTP: pages, bulk tables, single answers and files, with retries and time limits."""

import contextlib
import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from lesion_core.errors import ConfigError, SourceResponseError
from lesion_core.isic.api.models import CollectionOut, ImageOut, Page, SearchSize
from lesion_core.isic.api.transport import Answer, Patience, Transport, in_short
from lesion_core.types import JsonDict

# Never less: the archive orders rows by creation time alone, and its cursor skips rows that tie across a
# smaller page (25 images asked for two at a time came back as 15).
PAGE_SIZE = 100
# Pages are distinguished by creation times alone: some two hundred images of one moment, and a page points at itself.
_WITHOUT_PAGES = "set the source's listing to bulk, which has no pages, or narrow the query"
READ_IN_BULK = (
    f"many images were added to the archive in one moment, and its pages cannot tell them apart; {_WITHOUT_PAGES}"
)
API_PATH = "/api/v2/"
_Value = TypeVar("_Value", bound=BaseModel)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImagePage:
    """The images of one page, and on the first page how many there are in all."""

    images: tuple[ImageOut, ...]
    count: int | None


class ArchiveClient:
    """A client of one archive; safe to use from several threads, and to be closed after use.

    Args:
        url: Base address of the v2 API, e.g. ``https://api.isic-archive.com/api/v2/``.
        connections: Most connections at a time, kept alive between requests.
        patience: Time limits and retries.
        sleep: How to wait between attempts.
        clock: Monotonic seconds.
        rng: Source of the jitter.

    Every method raises ``SourceUnavailable`` (transient) where the archive does not answer in spite of
    retries, and ``SourceResponseError`` where it refuses or answers something outside its contract.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 10,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._base = _base_address(url)
        self._transport = Transport(
            connections=connections, patience=patience or Patience(), sleep=sleep, clock=clock, rng=rng
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    @property
    def url(self) -> str:
        """Base address, without user name and password."""
        return str(self._base.copy_with(username=None, password=None))

    def search(self, query: str | None = None, collections: Sequence[int] = ()) -> Iterator[ImagePage]:
        """Yield the pages of a search: images that match a query and lie in any of the collections.

        The archive may repeat images whose creation times tie, and skip others; see ``page_listing``.
        """
        for page in self._pages(
            self._address("images/search/", limit=str(PAGE_SIZE), **_criteria(query, collections))
        ):
            yield ImagePage(tuple(_image(row) for row in page.results), page.count)

    def count(self, query: str | None = None, collections: Sequence[int] = ()) -> int:
        """Return how many images match, as the archive counts them."""
        page = self._get(Page, self._address("images/search/", limit="1", **_criteria(query, collections)))
        if page.count is None:
            raise SourceResponseError(
                f"expected {self.url} to count the matches on the first page, got none; check that this is the "
                "address of an ISIC archive's v2 API"
            )
        return page.count

    def stated_bytes(self, query: str | None = None, collections: Sequence[int] = ()) -> int | None:
        """Return the sum of the noted file sizes of all matches, or ``None`` where the archive has no such sum.

        The route is not part of the published API, and the files are some 3 kB larger each.
        """
        try:
            return self._get(SearchSize, self._address("images/search/size/", **_criteria(query, collections))).size
        except SourceResponseError as error:
            log.info("The archive does not state sizes: %s", error)
            return None

    def image(self, isic_id: str) -> ImageOut:
        """Return one image's entry."""
        return self._get(ImageOut, self._address(f"images/{isic_id}/"))

    def collection(self, number: int) -> CollectionOut:
        """Return one collection's entry."""
        return self._get(CollectionOut, self._address(f"collections/{number}/"))

    def bulk_token(self, query: str | None = None, collections: Sequence[int] = ()) -> str:
        """Return a token for the bulk tables of a search; it holds for a day."""
        wanted = {"query": (query or "").strip() or None, "collections": list(collections) or None}
        with self._hinting():
            answer = self._transport.post(self._address("zip-download/url/"), wanted)
            try:
                return str(httpx.URL(json.loads(answer.body)).params["zsid"])
            except (ValueError, TypeError, KeyError, httpx.InvalidURL) as error:
                raise SourceResponseError(
                    f"expected {self.url}zip-download/url/ to answer an address with a token, got "
                    f"{in_short(answer.body)}"
                ) from error

    def save_metadata(self, token: str, sink: BinaryIO) -> None:
        """Write the table of all images of a search, CSV: isic_id, attribution, copyright_license, metadata."""
        self._save(self._address("zip-download/metadata-file/", token=token), sink)

    def save_collection_metadata(self, number: int, sink: BinaryIO) -> None:
        """Write the same table of a whole collection, from the archive's site rather than its API."""
        self._save(self._base.join(f"/collections/{number}/metadata/"), sink)

    def save_file_listing(self, token: str, sink: BinaryIO) -> None:
        """Write the addresses of all files of a search, JSON: ``{"files": [{"url", "zipPath"}]}``."""
        self._save(self._address("zip-download/file-listing/", token=token), sink)

    def download(self, url: str, *, unless: str | None = None) -> Answer:
        """Return a file's whole body, of the length that the server announced for it.

        The address is followed as it stands: the archive keeps its files on other hosts than its API.

        Args:
            url: Where.
            unless: Version tag of the bytes at hand; where they are still the server's, the answer is unchanged.
        """
        return self._transport.get_file(_web_address(url), unless=unless)

    def _address(self, path: str, **params: str) -> httpx.URL:
        address = self._base.join(path)
        return address.copy_merge_params(params) if params else address

    def _get(self, kind: type[_Value], address: httpx.URL) -> _Value:
        with self._hinting():
            body = self._transport.get(address).body
            try:
                return kind.model_validate_json(body)
            except ValidationError as error:
                raise _unexpected(address.path, error, body) from error

    def _save(self, address: httpx.URL, sink: BinaryIO) -> None:
        with self._hinting():
            self._transport.get(address, sink=sink)

    @contextlib.contextmanager
    def _hinting(self) -> Iterator[None]:
        """Where the archive refuses and the address is not that of an API, say which one may be meant."""
        try:
            yield
        except SourceResponseError as error:
            if self._base.path.endswith(API_PATH):
                raise
            before = self._base.path.partition(API_PATH)[0] if API_PATH in self._base.path else ""
            meant = self._base.copy_with(path=f"{before}{API_PATH}", query=None, username=None, password=None)
            raise SourceResponseError(
                f"{error}. An archive's address ends in {API_PATH}, and {self.url} does not: set the source's url or "
                f"LESION_ARCHIVE_URL to {meant}, if that is the one",
                **error.context,
            ) from error

    def _pages(self, address: httpx.URL) -> Iterator[Page]:
        """Yield pages until there is no next one; a cursor that leads nowhere or back ends in an error."""
        seen = {address}
        while True:
            page = self._get(Page, address)
            yield page
            if page.next is None:
                return
            address = self._own(page.next)
            if address in seen or not page.results:
                fault = (
                    f"the same page again: {READ_IN_BULK}"
                    if address in seen
                    else f"a further page after an empty one; {_WITHOUT_PAGES}"
                )
                raise SourceResponseError(f"expected {self.url} to list every image once, but it points at {fault}")
            seen.add(address)

    def _own(self, following: str) -> httpx.URL:
        """Return the address of the next page, at the host that was asked.

        Path and query are the archive's, verbatim. Scheme and host stay ours: behind a proxy the archive may
        know itself by another name, and a listing must not send the client elsewhere.
        """
        return _web_address(following).copy_with(
            scheme=self._base.scheme,
            host=self._base.host,
            port=self._base.port,
            username=self._base.username or None,
            password=self._base.password or None,
        )


def _image(row: JsonDict) -> ImageOut:
    try:
        return ImageOut.model_validate(row)
    except ValidationError as error:
        raise _unexpected(f"image {row.get('isic_id', 'without isic_id')}", error, b"") from error


def _criteria(query: str | None, collections: Sequence[int]) -> dict[str, str]:
    given = {"query": (query or "").strip(), "collections": ",".join(map(str, collections))}
    return {name: value for name, value in given.items() if value}


def _unexpected(what: str, error: ValidationError, body: bytes) -> SourceResponseError:
    fields = ", ".join(sorted({".".join(map(str, problem["loc"])) or problem["msg"] for problem in error.errors()}))
    start = f"; it answered {in_short(body)}" if body else ""
    return SourceResponseError(
        f"expected the archive's answer in the form of its v2 API, but in {what} these are wrong: {fields[:300]}"
        f"{start}; check the archive's address",
        fields=fields,
    )


def _base_address(url: str) -> httpx.URL:
    try:
        return _web_address(url if url.endswith("/") else f"{url}/")
    except SourceResponseError as error:
        raise ConfigError(
            f"expected an archive's address such as https://api.isic-archive.com/api/v2/, got {url!r}; set it in the "
            "source's url or in LESION_ARCHIVE_URL"
        ) from error


def _web_address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SourceResponseError(f"expected a web address from the archive, got {url!r} ({error})") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise SourceResponseError(f"expected a web address (http or https) from the archive, got {url!r}")
    return address
