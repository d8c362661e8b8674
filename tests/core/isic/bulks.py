"""An archive that offers its listing in bulk, answer by answer: what it counts, its table, and its list of files."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tests.core.isic.faulty import FaultyServer, page, send
from tests.core.isic.folders import NEVUS, isic_id, jpeg

SEARCH = "/api/v2/images/search/"
TOKEN, TABLE, FILES = (f"/api/v2/zip-download/{name}/" for name in ("url", "metadata-file", "file-listing"))
Cells = Mapping[str, str]


def table(numbers: Collection[int], changes: Mapping[int, Cells] | None = None, columns: Sequence[str] = ()) -> str:
    """Return a table of nevi; ``columns`` are empty but where ``changes``, by number, says otherwise."""
    header = ["isic_id", "attribution", "copyright_license", *columns, *NEVUS]
    usual = {"attribution": "Clinic A", "copyright_license": "CC-0", **NEVUS}
    rows = [{**usual, "isic_id": isic_id(number), **(changes or {}).get(number, {})} for number in numbers]
    lines = [",".join(header), *(",".join(row.get(name, "") for name in header) for row in rows)]
    return "\r\n".join([*lines, ""])


def file_list(server: FaultyServer, numbers: Collection[int]) -> dict[str, Any]:
    """Return the list of the images' files."""
    return {
        "files": [{"url": f"{server.host}/{number}.jpg", "zipPath": f"{isic_id(number)}.jpg"} for number in numbers]
    }


def offer(
    server: FaultyServer,
    *,
    counts: Sequence[int],
    tables: Sequence[str],
    files: Sequence[Collection[int]],
) -> None:
    """Answer so to one request after the other; the last answer stays. Every listed file is there."""
    server.answers[TOKEN] = [send(json.dumps(f"{server.host}/download?zsid=abc"))]
    server.answers[SEARCH] = [send(page([], count)) for count in counts]
    server.answers[TABLE] = [send(each) for each in tables]
    server.answers[FILES] = [send(file_list(server, numbers)) for numbers in files]
    for number in {number for numbers in files for number in numbers}:
        server.answers[f"/{number}.jpg"] = [send(jpeg(number))]
