"""What an archive may answer where its listing is asked for in bulk."""

import json
from collections.abc import Callable, Sequence

from lesion_core.errors import SourceResponseError
from tests.core.isic.faulty import Answer, FaultyServer, page, send
from tests.core.isic.folders import NEVUS, isic_id
from tests.faults.answer_cases import _HTML_500, Spoil, _cut
from tests.faults.case import SEARCH, SPOILED, AnswerCase, numbers
from tests.faults.expected import Arrived, Refused, Reported


def _in_bulk(
    token: Answer | None = None, table: Answer | None = None, files: Callable[[FaultyServer], Answer] | None = None
) -> Spoil:
    """Offer the listing in bulk, sound but for what is given."""

    def spoil(server: FaultyServer) -> None:
        everyone = numbers([SPOILED])
        listing = {"files": [_located(server, number) for number in everyone]}
        server.answers[_TOKEN] = [token or send(json.dumps(f"{server.host}/download?zsid=abc"))]
        server.answers[_TABLE] = [table or send(_csv())]
        server.answers[_FILES] = [files(server) if files else send(listing)]

    return spoil


def _located(server: FaultyServer, number: int) -> dict[str, str]:
    return {"url": f"{server.host}/{number}.jpg", "zipPath": f"{isic_id(number)}.jpg"}


def _csv(separator: str = ",", listed: Sequence[int] = numbers([SPOILED]), spoiled_age: str = "45") -> bytes:
    header = ["isic_id", "attribution", "copyright_license", "age_approx", *NEVUS]
    rows = [header]
    for number in listed:
        age = spoiled_age if number == SPOILED else "45"
        rows.append([isic_id(number), "Clinic A", "CC-0", age, *NEVUS.values()])
    return "\r\n".join(separator.join(row) for row in rows).encode()


def _meanwhile(
    *, counts: Sequence[int] = (5,), tables: Sequence[bytes], files: Sequence[Sequence[int]] = (numbers([SPOILED]),)
) -> Spoil:
    """Answer otherwise the second time: the archive goes on while it is read."""

    def spoil(server: FaultyServer) -> None:
        _in_bulk()(server)
        server.answers[SEARCH] = [send(page([], count)) for count in counts]
        server.answers[_TABLE] = [send(table) for table in tables]
        server.answers[_FILES] = [
            send({"files": [_located(server, number) for number in listed]}) for listed in files
        ]

    return spoil


def _strange_file(server: FaultyServer) -> Answer:
    return send({"files": [_located(server, number) for number in (*numbers([SPOILED]), 77)]})


def _file_forgotten(server: FaultyServer) -> Answer:
    return send({"files": [_located(server, number) for number in numbers([])]})


_TOKEN, _TABLE, _FILES = (f"/api/v2/zip-download/{name}/" for name in ("url", "metadata-file", "file-listing"))
_BY_PAGES = Arrived("read page by page instead")
_ONE_ROW_SHORT = b"\r\n".join(row for row in _csv().split(b"\r\n") if not row.startswith(isic_id(SPOILED).encode()))

BULK_CASES = (
    AnswerCase("all in order", Arrived("in three requests"), _in_bulk()),
    AnswerCase("405 to the request for a token", _BY_PAGES, _in_bulk(send("", 405))),
    AnswerCase("500 to the request for a token, again and again", _BY_PAGES, _in_bulk(send(_HTML_500, 500))),
    AnswerCase("an address without a token", _BY_PAGES, _in_bulk(send('"https://archive.example/download"'))),
    AnswerCase("401 to the token", _BY_PAGES, _in_bulk(table=send({"detail": "Unauthorized"}, 401))),
    AnswerCase("200 with an HTML page for the table", _BY_PAGES, _in_bulk(table=send(_HTML_500))),
    AnswerCase("a table with semicolons", _BY_PAGES, _in_bulk(table=send(_csv(";")))),
    AnswerCase("a table in UTF-16", _BY_PAGES, _in_bulk(table=send(_csv().decode().encode("utf-16")))),
    AnswerCase("a table cut in a row, at the announced length", _BY_PAGES, _in_bulk(table=send(_csv()[:-70]))),
    AnswerCase(
        "the connection reset at 99 % of the table, again and again", _BY_PAGES, _in_bulk(table=_cut(_csv(), 0.99))
    ),
    AnswerCase(
        "a table that lacks a row",
        Reported(
            "the archive counted 5 images and listed 4, in each of 3 readings: its bulk table lacks the others; of "
            "the files that the archive lists, 1 stand for images that its table lacks, in each of 3 readings "
            "(ISIC_0000005)",
            "missed",
        ),
        _in_bulk(table=send(_ONE_ROW_SHORT)),
    ),
    AnswerCase(
        "an image published after the count: one row and one file more",
        Arrived("a newer image is no loss"),
        _meanwhile(counts=(4,), tables=[_csv()]),
    ),
    AnswerCase(
        "an image published after the table: a file without a row, and a row the second time",
        Arrived("read again"),
        _meanwhile(counts=(4, 5), tables=[_csv(listed=numbers([])), _csv()]),
    ),
    AnswerCase(
        "an image withdrawn after the count: one row and one file less, and the second time counted so",
        Arrived("read again; the withdrawn image is in the log"),
        _meanwhile(counts=(6, 5), tables=[_csv()]),
    ),
    AnswerCase(
        "an image withdrawn after the table: a row without a file, and no row the second time",
        Arrived("read again; the withdrawn image is in the log"),
        _meanwhile(counts=(6, 5), tables=[_csv(listed=numbers([SPOILED, 77])), _csv()]),
    ),
    AnswerCase(
        "an age of 0 as an empty cell, as the archive writes it",
        Arrived("0 years: asked for, and found", value=0.0),
        _meanwhile(
            counts=(5, 1),
            tables=[_csv(spoiled_age=""), _csv(listed=[SPOILED], spoiled_age="")],
        ),
    ),
    AnswerCase("half a list of files", _BY_PAGES, _in_bulk(files=lambda server: send('{"files": [{"url": "a"'))),
    AnswerCase("a list of files that is a JSON list", _BY_PAGES, _in_bulk(files=lambda server: send("[]"))),
    AnswerCase(
        "a list of files that lacks an image",
        Reported("the archive lists no file for it"),
        _in_bulk(files=_file_forgotten),
    ),
    AnswerCase(
        "a file that the table has no row of",
        Reported(
            "of the files that the archive lists, 1 stand for images that its table lacks, in each of 3 readings "
            "(ISIC_0000077)",
            "missed",
        ),
        _in_bulk(files=_strange_file),
    ),
    AnswerCase(
        "401 to the token, where listing is set to bulk",
        Refused(SourceResponseError, "401 Unauthorized"),
        _in_bulk(table=send({"detail": "Unauthorized"}, 401)),
        listing="bulk",
    ),
    AnswerCase(
        "a table with semicolons, where listing is set to bulk",
        Refused(SourceResponseError, "without copyright_license, isic_id"),
        _in_bulk(table=send(_csv(";"))),
        listing="bulk",
    ),
)
