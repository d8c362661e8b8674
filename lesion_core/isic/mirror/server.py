"""A folder of images served by the archive's own API, so that a place without internet can use it, too.

The same routes, forms, paging and errors as ``https://api.isic-archive.com/api/v2/`` for what a downloader
needs, its faults included: the bulk table has no age of 0 (``bulk``), ``-field:*ending`` excludes nothing that it
should (``conditions``), and some queries end in an error of the server. What differs: images come in the order of
their ids, none are skipped where pages meet, thumbnails are the full files (nothing here makes pixels), negative
limits count as none, and an image has one attribution on every route.
"""

import contextlib
import functools
import hashlib
import logging
import mimetypes
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path, PurePosixPath

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lesion_core.archive_fields import ATTRIBUTION, IMAGE_ID, LICENCE, PUBLIC
from lesion_core.errors import ConfigError
from lesion_core.isic.mirror.bulk import LICENCE_TEXTS, Wanted, metadata_csv, wanted_by
from lesion_core.isic.mirror.folder import ArchiveFolder, Entry, FolderCollection, read_folder
from lesion_core.isic.mirror.paging import Unprocessable, answer_page
from lesion_core.isic.mirror.placement import check_files
from lesion_core.isic.mirror.query import parse_query
from lesion_core.types import JsonDict

API_PATH = "/api/v2"
FILES_PATH = "/files"
_SEARCHES_KEPT = 8
_START_SECONDS = 20.0
_SERVER_ERROR = "<!doctype html><title>Server Error (500)</title><h1>Server Error (500)</h1>"


class _ServerFault(Exception):
    """A query that the archive's server understands and fails to answer."""


class _Selection:
    """The images that one search matches, with their ids for finding a page's place."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self.keys = [entry.isic_id for entry in entries]


class _Mirror:
    """The routes over one folder."""

    def __init__(self, folder: ArchiveFolder) -> None:
        self._folder = folder
        self._by_id = folder.by_id()
        self._names = {entry.file_name for entry in folder.entries}
        self._selected = functools.lru_cache(_SEARCHES_KEPT)(self._select)  # every page of a search asks again
        self._members = {item.id: None if item.images is None else set(item.images) for item in folder.collections}

    def routes(self) -> list[Route]:
        """Return every route of the mirror."""
        return [
            Route(f"{API_PATH}/images/", self.list_images),
            Route(f"{API_PATH}/images/search/", self.search_images),
            Route(f"{API_PATH}/images/search/size/", self.sum_sizes),
            Route(f"{API_PATH}/images/{{isic_id}}/", self.show_image),
            Route(f"{API_PATH}/zip-download/url/", self.give_token, methods=["POST"]),
            Route(f"{API_PATH}/zip-download/metadata-file/", self.send_metadata),
            Route(f"{API_PATH}/zip-download/file-listing/", self.send_file_listing),
            Route(f"{API_PATH}/zip-download/license-file/{{licence}}/", self.send_licence),
            Route("/collections/{number:int}/metadata/", self.send_collection_metadata),
            Route(f"{API_PATH}/collections/", self.list_collections),
            Route(f"{API_PATH}/collections/{{number}}/", self.show_collection),
            Route(f"{FILES_PATH}/{{name}}", self.send_file),
        ]

    def list_images(self, request: Request) -> Response:
        return self._image_page(request, self._selected("", ()))

    def search_images(self, request: Request) -> Response:
        return self._image_page(request, self._matches(request.query_params))

    def sum_sizes(self, request: Request) -> Response:
        return JSONResponse({"size": sum(entry.n_bytes for entry in self._matches(request.query_params).entries)})

    def show_image(self, request: Request) -> Response:
        entry = self._by_id.get(request.path_params["isic_id"])
        if entry is None:
            raise HTTPException(404)
        return JSONResponse(self._shown(entry, request))

    async def give_token(self, request: Request) -> Response:
        try:
            wanted = Wanted.model_validate_json(await request.body())
        except ValidationError as error:
            raise Unprocessable("body", "value_error", "Input should be a query and collections") from error
        parse_query(wanted.query or "")
        return JSONResponse(f"{_host(request)}/download?zsid={wanted.token()}")

    def send_metadata(self, request: Request) -> Response:
        return _table(self._bulk(request))

    def send_collection_metadata(self, request: Request) -> Response:
        number = request.path_params["number"]
        if number not in self._members:
            raise HTTPException(404)
        return _table(self._selected("", (number,)))

    def send_file_listing(self, request: Request) -> Response:
        files = [
            {"url": self._file_url(entry, request), "zipPath": f"{entry.isic_id}{_extension(entry)}"}
            for entry in self._bulk(request).entries
        ]
        return JSONResponse({"suggestedFilename": "ISIC-images.zip", "files": files})

    def send_licence(self, request: Request) -> Response:
        text = LICENCE_TEXTS.get(request.path_params["licence"])
        if text is None:
            raise HTTPException(404)
        return Response(text, media_type="text/plain")

    def _bulk(self, request: Request) -> "_Selection":
        wanted = wanted_by(request.query_params.get("token", ""))
        if wanted is None:
            raise HTTPException(401, "Unauthorized")
        return self._selected(wanted.query or "", wanted.numbers())

    def _file_url(self, entry: Entry, request: Request) -> str:
        return f"{_host(request)}{FILES_PATH}/{entry.file_name or f'{entry.isic_id}.jpg'}"

    def list_collections(self, request: Request) -> Response:
        shown = [_shown_collection(item) for item in self._folder.collections]
        # Newest first: keys that grow along the listing, as those of the images do.
        keys = [f"{number:06d}" for number in range(len(shown))]
        return answer_page(request, keys, lambda index: shown[index])

    def show_collection(self, request: Request) -> Response:
        wanted = request.path_params["number"]
        for item in self._folder.collections:
            if str(item.id) == wanted:
                return JSONResponse(_shown_collection(item))
        raise HTTPException(404)

    def send_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._names:
            raise HTTPException(404)
        try:
            body = (self._folder.path / name).read_bytes()
        except OSError as error:  # removed since the start
            raise HTTPException(404) from error
        tag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if request.headers.get("If-None-Match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        headers = {"ETag": tag, "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(body, media_type=mimetypes.guess_type(name)[0], headers=headers)

    def _image_page(self, request: Request, selection: "_Selection") -> Response:
        return answer_page(request, selection.keys, lambda index: self._shown(selection.entries[index], request))

    def _matches(self, params: QueryParams) -> "_Selection":
        return self._selected(params.get("query", ""), _wanted_collections(params))

    def _select(self, query: str, collections: tuple[int, ...]) -> "_Selection":
        asked = parse_query(query)
        if asked.breaks:
            raise _ServerFault
        entries = self._folder.entries
        if collections and not any(
            number in self._members and self._members[number] is None for number in collections
        ):
            union = set().union(*(self._members.get(number) or () for number in collections))
            entries = tuple(entry for entry in entries if entry.isic_id in union)
        return _Selection(tuple(entry for entry in entries if asked.holds(entry.row)))

    def _shown(self, entry: Entry, request: Request) -> JsonDict:
        file = {"url": self._file_url(entry, request), "size": entry.n_bytes}
        return {
            IMAGE_ID: entry.isic_id,
            LICENCE: entry.row.get(LICENCE, ""),
            ATTRIBUTION: entry.row.get(ATTRIBUTION, ""),
            "files": {"full": file, "thumbnail_256": file},
            "metadata": entry.metadata(self._folder.path),
            PUBLIC: True,
        }


def _extension(entry: Entry) -> str:
    return PurePosixPath(entry.file_name or "image.jpg").suffix


def _table(selection: _Selection) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="metadata.csv"'}
    return Response(metadata_csv(selection.entries), media_type="text/csv", headers=headers)


def _host(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _shown_collection(item: FolderCollection) -> JsonDict:
    facts = {"doi": None, "doi_url": None, "public": True, "pinned": False, "locked": False}
    return {"id": item.id, "name": item.name, "description": item.description, **facts}


def _wanted_collections(params: QueryParams) -> tuple[int, ...]:
    given = [part.strip() for value in params.getlist("collections") for part in value.split(",") if part.strip()]
    if not all(part.isdecimal() for part in given):
        raise Unprocessable("collections", "int_parsing", "Input should be a valid integer")
    return tuple(int(part) for part in given)


def create_mirror(folder: Path) -> Starlette:
    """Return an application that serves ``folder`` as an archive, below ``/api/v2/``.

    The table is read here, once; image files are looked at only when they are asked for.

    Raises:
        ManifestError: The folder has no usable ``metadata.csv``.
    """
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: _answer_status,
        ConfigError: _answer_bad_query,
        Unprocessable: _answer_unprocessable,
        _ServerFault: _answer_server_fault,
    }
    return Starlette(routes=_Mirror(read_folder(folder)).routes(), exception_handlers=dict(handlers))


async def _answer_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


async def _answer_bad_query(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": "Could not parse search query."}, 400)


async def _answer_unprocessable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unprocessable)
    return JSONResponse({"detail": error.detail}, 422)


async def _answer_server_fault(request: Request, error: Exception) -> Response:
    return Response(_SERVER_ERROR, 500, media_type="text/html")


def serve_mirror(folder: Path, host: str = "127.0.0.1", port: int = 8011) -> None:
    """Serve a folder until the process gets a signal to stop.

    Raises:
        ManifestError: The folder has no usable ``metadata.csv``, or none of its images.
        ConfigError: Something listens at this address already, or the address is not ours.
    """
    check_files(read_folder(folder))
    with _listening(host, port) as listener:
        server = _server(create_mirror(folder), "info")
        address = f"http://{host}:{listener.getsockname()[1]}{API_PATH}/"
        logging.getLogger("uvicorn.error").info("Serving %s as an archive at %s (Ctrl-C ends it)", folder, address)
        server.run(sockets=[listener])


@contextlib.contextmanager
def running_mirror(folder: Path) -> Iterator[str]:
    """Serve a folder from a thread for the length of a ``with`` block; yield the base address of its API."""
    with _listening("127.0.0.1", 0) as listener:
        server = _server(create_mirror(folder), "warning")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            _await_start(server, thread)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{API_PATH}/"
        finally:
            server.should_exit = True
            thread.join()


def _server(application: Starlette, log_level: str) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            application,
            log_level=log_level,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
        )
    )


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ConfigError(f"expected the mirror to listen within {_START_SECONDS:g} seconds, but it does not")
        time.sleep(0.005)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches off waiting for more to send (TCP_NODELAY) only where it is; else
    # each file would wait 40 ms for an acknowledgement.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"expected to listen at {host}, port {port}, but {error.strerror}; choose another port with --port"
            ) from error
        yield listener
