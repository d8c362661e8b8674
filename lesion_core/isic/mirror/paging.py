"""Pages and their cursors, as the archive's API has them."""

import base64
import binascii
import bisect
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

MOST_ROWS = 100


class Unprocessable(Exception):
    """A parameter that does not parse; answered with 422 in the archive's form."""

    def __init__(self, name: str, kind: str, message: str) -> None:
        super().__init__(message)
        self.detail = [{"type": kind, "loc": ["query", name], "msg": message}]


def answer_page(request: Request, keys: Sequence[str], show: Callable[[int], object]) -> Response:
    """Answer one page of the rows whose sorted keys are ``keys``; the cursor names the row beside the page."""
    limit = _limit(request.query_params)
    cursor, is_reverse = _cursor(request.query_params)
    if cursor is None:
        begin, end = 0, limit
    elif is_reverse:
        end = bisect.bisect_left(keys, cursor)
        begin = max(0, end - limit)
    else:
        begin = bisect.bisect_right(keys, cursor)
        end = begin + limit
    end = min(end, len(keys))
    return JSONResponse(
        {
            "results": [show(index) for index in range(begin, end)],
            "count": len(keys) if cursor is None else None,
            "next": _page_url(request, f"p={keys[end - 1]}") if 0 < end < len(keys) else None,
            "previous": _page_url(request, f"r=1&p={keys[begin]}") if 0 < begin < len(keys) else None,
        }
    )


def _limit(params: QueryParams) -> int:
    text = params.get("limit", "")
    try:
        limit = int(text or 0)
    except ValueError:
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise Unprocessable("limit", "int_parsing", message) from None
    return limit if 0 < limit <= MOST_ROWS else MOST_ROWS


def _cursor(params: QueryParams) -> tuple[str | None, bool]:
    """Return the key that the cursor names, and whether the page before it is meant."""
    text = params.get("cursor", "")
    if not text:
        return None, False
    try:
        parts = dict(parse_qsl(base64.b64decode(text, validate=True).decode("ascii")))
        return parts["p"], parts.get("r") == "1"
    except (binascii.Error, ValueError, KeyError):
        raise Unprocessable("cursor", "value_error", "Value error, Invalid cursor.") from None


def _page_url(request: Request, position: str) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    cursor = base64.b64encode(position.encode()).decode()
    return f"{str(request.url).partition('?')[0]}?{urlencode([*kept, ('cursor', cursor)])}"
