"""A request as the HTTP API takes it: known fields, each once, in the form; whatever else comes is named."""

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from deployments.app.prediction_service import shown
from deployments.scoring.columns import meaning_of, nearest
from lesion_core.errors import InputRejected
from lesion_core.fields.kinds import AnyField, CategoryField
from lesion_core.fields.table import FIELDS
from lesion_core.serving import wording

IMAGE_FIELD = "image"
NAMES = (IMAGE_FIELD, *(field.name for field in FIELDS))
_MOST_FILES, _MOST_FIELDS = 8, 32  # more than are known, so that what is too much can be named


def _schema_of(field: AnyField) -> dict[str, Any]:
    description = {"description": field.help} if field.help else {}
    if isinstance(field, CategoryField):
        return {"type": "string", "enum": list(field.choices), **description}
    return {"type": "number", "minimum": field.low, "maximum": field.high, **description}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": [IMAGE_FIELD],
    "additionalProperties": False,
    "properties": {
        IMAGE_FIELD: {
            "type": "string",
            "format": "binary",
            "description": "JPEG, PNG, WebP, TIFF or BMP; one lesion",
        },
        **{field.name: _schema_of(field) for field in FIELDS},
    },
}


def check_address(request: Request, fields: Sequence[str] = ()) -> None:
    """Refuse parameters in the address (after ``?``), of which no route takes any.

    Args:
        request: What came.
        fields: What the route takes in its form instead.

    Raises:
        InputRejected: There is one; ``field`` is its name.
    """
    for name in request.query_params:
        raise InputRejected(
            wording.field_in_address(shown(name), fields, near=_near(name, fields)), field=shown(name)
        )


async def read_form(request: Request) -> tuple[bytes, dict[str, str]]:
    """Return the image's bytes and the other fields of a form.

    Raises:
        InputRejected: The form cannot be read, a field is not known, comes twice or as the wrong kind, or there is no
            image; ``field`` says which.
    """
    try:
        async with request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS) as form:
            given = form.multi_items()
            _check_fields([name for name, _ in given])
            upload = form.get(IMAGE_FIELD)
            if not isinstance(upload, UploadFile):
                raise InputRejected(wording.NO_IMAGE_FIELD, field=IMAGE_FIELD)
            return await upload.read(), {name: _text(name, value) for name, value in given if name != IMAGE_FIELD}
    except HTTPException as error:
        raise InputRejected(
            wording.rejected_field("Form", "multipart/form-data", error.detail), field="form"
        ) from error


def _check_fields(names: Sequence[str]) -> None:
    for name in names:
        if name not in NAMES:
            raise InputRejected(wording.unknown_field(shown(name), NAMES, near=_near(name, NAMES)), field=shown(name))
        if (n_times := names.count(name)) > 1:
            raise InputRejected(wording.repeated_field(name, n_times), field=name)


def _text(name: str, value: UploadFile | str) -> str:
    if isinstance(value, UploadFile):
        raise InputRejected(wording.rejected_field(f"Field “{name}”", "text", "a file"), field=name)
    return value


def _near(name: str, fields: Sequence[str]) -> str | None:
    """Return the field that a name stands for: one of its names in tables, or a misspelling."""
    meaning = meaning_of(name)
    return meaning if meaning in fields else nearest(name, fields)
