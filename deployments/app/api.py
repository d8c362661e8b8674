"""The page's HTTP API: one question, and what a load balancer asks."""

from collections.abc import Sequence
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from deployments.app.access import Users
from deployments.app.approved import Served
from deployments.app.asking import MAX_UPLOAD_MB, Desk, read_metadata
from lesion_core.errors import InputRejected, ModelNotReady
from lesion_core.labels import CLASS_NAMES, SEX_ORDER, SITE_ORDER
from lesion_core.serving import wording
from lesion_core.serving.predictor import Answer
from lesion_core.serving.wording import Statement

_MAX_BYTES = MAX_UPLOAD_MB * 1024 * 1024
_FORM_OVERHEAD_BYTES = 64 * 1024
_CONCURRENT_ANSWERS = 2
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, TIFF or BMP; one lesion"},
        "age_years": {"type": "number", "minimum": 0, "maximum": 120, "description": "Left out where unknown"},
        "sex": {"type": "string", "enum": [*SEX_ORDER, "unknown"]},
        "site": {"type": "string", "enum": [*SITE_ORDER, "unknown"]},
    },
}


def build_api(desk: Desk, users: Users) -> APIRouter:
    """Build the routes ``POST /v1/predict``, ``GET /healthz`` and ``GET /readyz``."""
    router = APIRouter()
    limiter: list[CapacityLimiter] = []

    @router.post(
        "/v1/predict",
        summary="Probabilities of the eight classes for one dermoscopic image",
        description=wording.brief_disclaimer(),
        openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
        responses={
            401: {"description": "Name and password (HTTP basic) are needed"},
            413: {"description": f"More than {MAX_UPLOAD_MB} MB"},
            422: {"description": "The image or a field cannot be used; `field` and `message` say which and why"},
            503: {"description": "No model is approved, or it cannot be loaded"},
        },
    )
    async def predict(request: Request) -> Response:
        if not users.accept_basic(request.headers.get("authorization")):
            return _refusal(401, "login", wording.LOGIN_NEEDED, {"WWW-Authenticate": 'Basic realm="lesionflow"'})
        if (refusal := _check_length(request)) is not None:
            return refusal
        if not limiter:
            limiter.append(CapacityLimiter(_CONCURRENT_ANSWERS))
        try:
            image, fields = await _read_form(request)
            metadata = read_metadata(fields.get("age_years"), fields.get("sex"), fields.get("site"))
            served, answer = await to_thread.run_sync(desk.ask, image, metadata, limiter=limiter[0])
        except InputRejected as error:
            return _refusal(422, error.field, str(error))
        except ModelNotReady as error:
            return _refusal(503, "model", str(error))
        return JSONResponse(describe(served, answer, desk.statements(served)))

    @router.get("/healthz", summary="Whether the process is up")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Whether a model is approved and loaded")
    async def readyz() -> Response:
        try:
            served = await to_thread.run_sync(desk.approved.current)
        except ModelNotReady as error:
            return _refusal(503, "model", str(error))
        return JSONResponse({"status": "ready", "model": served.approval.model_id})

    return router


def describe(served: Served, answer: Answer, statements: Sequence[Statement]) -> dict[str, Any]:
    """Return an answer as JSON; the map is left out, the shares that add up to each class's log-odds are not."""
    return {
        "model": answer.model_id,
        "approved_by": served.approval.approver,
        "approved_at": served.approval.at,
        "synthetic": served.synthetic,
        "classes": [
            {
                "class": str(item.diagnosis),
                "name": CLASS_NAMES[item.diagnosis],
                "malignant": item.malignant,
                "probability": item.probability,
                "probability_without_metadata": item.probability_without_metadata,
                "shares": {
                    "image": item.image_share,
                    "metadata": item.metadata_share,
                    "baseline": item.baseline_share,
                    **({} if item.interaction_share is None else {"interaction": item.interaction_share}),
                },
            }
            for item in answer.classes
        ],
        "notes": [{"code": note.code, "text": note.text} for note in answer.notes],
        "disclaimer": wording.brief_disclaimer(),
        "limits_of_use": [statement.model_dump() for statement in statements],
    }


def _check_length(request: Request) -> Response | None:
    """Refuse a body before any of it is read; the server holds the sender to the length it gives."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        return _refusal(411, "image", wording.LENGTH_NEEDED)
    if int(length) > _MAX_BYTES + _FORM_OVERHEAD_BYTES:
        return _refusal(413, "image", wording.too_large(MAX_UPLOAD_MB))
    return None


async def _read_form(request: Request) -> tuple[bytes, dict[str, str]]:
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            upload = form.get("image")
            if not isinstance(upload, UploadFile):
                raise InputRejected(wording.NO_IMAGE_FIELD, field="image")
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
            return await upload.read(), fields
    except HTTPException as error:
        raise InputRejected(
            wording.rejected_field("Form", "multipart/form-data", error.detail), field="form"
        ) from error


def _refusal(status: int, field: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"field": field, "message": message}, status_code=status, headers=headers)
