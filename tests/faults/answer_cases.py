"""What an archive, or whatever stands between it and us, may answer."""

import gzip
import json
from collections.abc import Callable
from typing import Any

from lesion_core.errors import SourceResponseError, SourceUnavailable
from tests.core.isic.faulty import Answer, FaultyServer, drip, hang_up, page, reset_after, send, stall
from tests.core.isic.folders import jpeg
from tests.faults.case import SEARCH, SPOILED, AnswerCase, listed_rows, numbers
from tests.faults.expected import Arrived, Refused, Reported

Spoil = Callable[[FaultyServer], None]
_FILE = f"/{SPOILED}.jpg"
_BODY = jpeg(SPOILED)
_HTML_500 = "<!doctype html><title>Server Error (500)</title>"
_SOON = {"Retry-After": "0"}
_OTHER_TAG = {"ETag": f'"{"0" * 32}"'}
_SLOW = {"request_seconds": 0.5}
_IMPATIENT = {"read_seconds": 0.2}
_SMALL = {"most_bytes": 200_000}


def _listing(*answers: Answer) -> Spoil:
    """Answer so to each further request of the listing."""

    def spoil(server: FaultyServer) -> None:
        server.answers[SEARCH] = list(answers)

    return spoil


def _file(*answers: Answer) -> Spoil:
    """Answer so to each further request of one image's file."""

    def spoil(server: FaultyServer) -> None:
        server.answers[_FILE] = list(answers)

    return spoil


def _sound_page(server: FaultyServer, **changes: Any) -> dict[str, Any]:
    everyone = numbers([SPOILED])
    return {**page(listed_rows(server, everyone), len(everyone)), **changes}


def _paged(*changes: dict[str, Any]) -> Spoil:
    """List pages that differ from the sound one in this; ``{url}`` in ``next`` is the API's address."""

    def spoil(server: FaultyServer) -> None:
        pages = [_sound_page(server, **change) for change in changes]
        for each in pages:
            each["next"] = each["next"] and each["next"].format(url=server.url)
        server.answers[SEARCH] = [send(each) for each in pages]

    return spoil


def _row(**changes: Any) -> Spoil:
    """List the spoiled image with other values; ``None`` takes a key away."""

    def spoil(server: FaultyServer) -> None:
        listing = _sound_page(server)
        row = next(item for item in listing["results"] if item["isic_id"].endswith(str(SPOILED)))
        row.update(changes)
        for key in [key for key, value in changes.items() if value is None]:
            del row[key]
        server.answers[SEARCH] = [send(listing)]

    return spoil


def _then_sound(*first: Answer) -> Spoil:
    """Fail at first, and then list what there is."""

    def spoil(server: FaultyServer) -> None:
        server.answers[SEARCH] = [*first, send(_sound_page(server))]

    return spoil


def _broken(share: float) -> Spoil:
    """Reset the listing's connection after a share of its body."""

    def spoil(server: FaultyServer) -> None:
        body = json.dumps(_sound_page(server)).encode()
        server.answers[SEARCH] = [reset_after(body, int(len(body) * share))]

    return spoil


def _dripping(server: FaultyServer) -> None:
    server.answers[SEARCH] = [drip(json.dumps(_sound_page(server)).encode(), 0.02)]


def _shorter_than_stated(server: FaultyServer) -> None:
    body = json.dumps(_sound_page(server))
    server.answers[SEARCH] = [send(body, stated=len(body) + 40)]


def _cut(body: bytes, share: float) -> Answer:
    return reset_after(body, int(len(body) * share))


def _to(address: str, status: int = 302) -> Answer:
    return send(b"", status, {"Location": address})


_NO_SENSE = "in the form of its v2 API"
_BOMB = gzip.compress(bytes(8_000_000))

ANSWER_CASES = (
    AnswerCase(
        "400 to the listing",
        Refused(SourceResponseError, "400 Bad Request"),
        _listing(send({"message": "Could not parse search query."}, 400)),
    ),
    AnswerCase(
        "401 to the listing",
        Refused(SourceResponseError, "401 Unauthorized"),
        _listing(send({"detail": "Unauthorized"}, 401)),
    ),
    AnswerCase(
        "404 to the listing",
        Refused(SourceResponseError, "404 Not Found"),
        _listing(send({"detail": "Not Found"}, 404)),
    ),
    AnswerCase(
        "422 to the listing",
        Refused(SourceResponseError, "422 Unprocessable"),
        _listing(send({"detail": [{"type": "int_parsing", "loc": ["query", "limit"]}]}, 422)),
    ),
    AnswerCase(
        "500 with an HTML page, again and again",
        Refused(SourceUnavailable, "500 Internal Server Error again and again"),
        _listing(send(_HTML_500, 500)),
    ),
    AnswerCase("500 with an HTML page, once", Arrived("after another attempt"), _then_sound(send(_HTML_500, 500))),
    AnswerCase(
        "503 with Retry-After, once", Arrived("after the wait that it asks for"), _then_sound(send("", 503, _SOON))
    ),
    AnswerCase(
        "503 with Retry-After, again and again",
        Refused(SourceUnavailable, "503 Service Unavailable again and again"),
        _listing(send("", 503, _SOON)),
    ),
    AnswerCase(
        "429, again and again",
        Refused(SourceUnavailable, "429 Too Many Requests again and again"),
        _listing(send("", 429, _SOON)),
    ),
    AnswerCase(
        "the connection reset at 6 % of the listing, again and again",
        Refused(SourceUnavailable, "the connection broke"),
        _broken(0.06),
    ),
    AnswerCase(
        "the connection reset at 99 % of the listing, again and again",
        Refused(SourceUnavailable, "the connection broke"),
        _broken(0.99),
    ),
    AnswerCase("no answer, once: the connection closes", Arrived("after another attempt"), _then_sound(hang_up())),
    AnswerCase(
        "silence",
        Refused(SourceUnavailable, "to answer in time"),
        _listing(stall(0.5)),
        _IMPATIENT,
    ),
    AnswerCase("a listing that drips in", Refused(SourceUnavailable, "within 0.5 seconds"), _dripping, _SLOW),
    AnswerCase(
        "a listing shorter than its Content-Length",
        Refused(SourceUnavailable, "the connection broke"),
        _shorter_than_stated,
    ),
    AnswerCase("200 with an HTML page", Refused(SourceResponseError, _NO_SENSE), _listing(send("<html>Welcome"))),
    AnswerCase("200 with a JSON list", Refused(SourceResponseError, _NO_SENSE), _listing(send("[]"))),
    AnswerCase("200 with half a JSON", Refused(SourceResponseError, _NO_SENSE), _listing(send('{"results": [{'))),
    AnswerCase("204 without a body", Refused(SourceResponseError, _NO_SENSE), _listing(send(b"", 204))),
    AnswerCase(
        "gzip that unpacks to 8 MB, where 0.2 are allowed",
        Refused(SourceResponseError, "expected at most 200,000 bytes"),
        _listing(send(_BOMB, headers={"Content-Encoding": "gzip"})),
        _SMALL,
    ),
    AnswerCase(
        "gzip that is none",
        Refused(SourceResponseError, "a usable answer"),
        _listing(send("{}", headers={"Content-Encoding": "gzip"})),
    ),
    AnswerCase("a redirect that leads back", Refused(SourceResponseError, "redirect"), _listing(_to(SEARCH))),
    AnswerCase(
        "a cursor that leads back",
        Refused(SourceResponseError, "the same page again"),
        _paged({"next": "{url}images/search/?cursor=a"}),
    ),
    AnswerCase(
        "an empty page with a next one",
        Refused(SourceResponseError, "a further page after an empty one"),
        _paged({"results": [], "next": "{url}images/search/?cursor=b"}),
    ),
    AnswerCase(
        "a next page at another host",
        Arrived("asked at the archive's own host"),
        _paged({"next": "https://elsewhere.example/api/v2/images/search/?cursor=b"}, {"count": None}),
    ),
    AnswerCase(
        "more images counted than listed",
        Reported(
            "the archive counted 7 images and listed 5: its pages skip rows that were added in one moment (listing: "
            "bulk does not)",
            "missed",
        ),
        _paged({"count": 7}),
    ),
    AnswerCase("one image listed twice", Arrived("once"), _paged({"next": "{url}images/search/?cursor=b"}, {})),
    AnswerCase("a key that is new", Arrived("as before"), _row(surprise={"deep": [1, 2]})),
    AnswerCase("an isic_id that is none", Refused(SourceResponseError, "isic_id"), _row(isic_id="../../etc/passwd")),
    AnswerCase("a row without isic_id", Refused(SourceResponseError, "isic_id"), _row(isic_id=None)),
    AnswerCase("a row without files", Refused(SourceResponseError, "files"), _row(files=None)),
    AnswerCase(
        "a file's address that is none",
        Reported("expected a web address (http or https) from the archive, got 'ftp://host/5.jpg'"),
        _row(files={"full": {"url": "ftp://host/5.jpg", "size": 1}}),
    ),
    AnswerCase(
        "403 to a file",
        Reported("the archive answered 403 Forbidden"),
        _file(send("<Error><Code>AccessDenied</Code></Error>", 403)),
    ),
    AnswerCase("404 to a file", Reported("the archive answered 404 Not Found"), _file(send("", 404))),
    AnswerCase(
        "500 to a file, again and again",
        Reported("the archive answered 500 Internal Server Error"),
        _file(send(_HTML_500, 500)),
    ),
    AnswerCase(
        "503 with Retry-After to a file, once", Arrived("after the wait"), _file(send("", 503, _SOON), send(_BODY))
    ),
    AnswerCase(
        "200 with an HTML page for a file",
        Reported("the file is an HTML page, probably an error page of a download"),
        _file(send("<!doctype html><title>Sign in</title>")),
    ),
    AnswerCase("204 for a file", Reported("the file is empty"), _file(send(b"", 204))),
    AnswerCase(
        "the connection reset at 6 % of a file, again and again",
        Reported("the connection broke"),
        _file(_cut(_BODY, 0.06)),
    ),
    AnswerCase(
        "the connection reset at 99 % of a file, again and again",
        Reported("the connection broke"),
        _file(_cut(_BODY, 0.99)),
    ),
    AnswerCase(
        "the connection reset at 99 % of a file, once",
        Arrived("whole, after another attempt"),
        _file(_cut(_BODY, 0.99), send(_BODY)),
    ),
    AnswerCase(
        "a file that drips in",
        Reported("it came too slowly (some bytes in 0.5 seconds)"),
        _file(drip(_BODY, 0.02)),
        _SLOW,
    ),
    AnswerCase(
        "a file longer than its Content-Length",
        Reported("the image is damaged or cut short (image file is truncated (some bytes not processed))"),
        _file(send(_BODY, stated=len(_BODY) - 300)),
    ),
    AnswerCase(
        "a file shorter than its Content-Length",
        Reported("the connection broke"),
        _file(send(_BODY, stated=len(_BODY) + 300)),
    ),
    AnswerCase(
        "a file of 0.3 MB, where 0.2 are allowed",
        Reported("it is larger than 200,000 bytes"),
        _file(send(_BODY + bytes(300_000))),
        _SMALL,
    ),
    AnswerCase(
        "a file whose ETag is the MD5 of other bytes, twice the same",
        Arrived("taken as right: not every such tag is an MD5"),
        _file(send(_BODY, headers=_OTHER_TAG)),
    ),
    AnswerCase(
        "a file whose ETag is the MD5 of other bytes, each time others",
        Reported("its bytes are not those that their ETag names"),
        _file(*(send(jpeg(seed), headers=_OTHER_TAG) for seed in range(90, 110))),
    ),
    AnswerCase(
        "304 for a file that nobody has yet", Reported("the file is empty"), _file(send(b"", 304, {"ETag": '"x"'}))
    ),
    AnswerCase("a redirect to the file's new place", Arrived("from there"), _file(_to("/8.jpg"))),
)
