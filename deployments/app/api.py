"""The page's HTTP API: one question, and what a load balancer asks."""

from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from deployments.app.access import Users
from deployments.app.answers import Health, PredictAnswer, Readiness, Refusal, describe
from deployments.app.approved import Served
from deployments.app.form import NAMES, SCHEMA, check_address, read_form
from deployments.app.prediction_service import MAX_UPLOAD_MB, PredictionService, read_metadata
from lesion_core.errors import InputRejected, ModelNotReady
from lesion_core.labels import N_CLASSES_IN_WORDS
from lesion_core.serving import wording
from lesion_core.serving.predictor import Answer

_MAX_BYTES = MAX_UPLOAD_MB * 1024 * 1024
_FORM_OVERHEAD_BYTES = 64 * 1024
_CONCURRENT_ANSWERS = 2
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": SCHEMA}}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "Name and password (HTTP basic) are needed"},
    411: {"description": "The request does not say its length"},
    413: {"description": f"More than {MAX_UPLOAD_MB} MB"},
    422: {
        "description": "The image or a field cannot be used, is not known or comes twice, or the address has "
        "parameters; `field` and `message` say which and why"
    },
    503: {"description": "No model is approved, or it cannot be loaded"},
}


def build_api(service: PredictionService, users: Users) -> APIRouter:
    """Build the routes ``POST /v1/predict``, ``GET /healthz`` and ``GET /readyz``."""
    router = APIRouter()
    limiter: list[CapacityLimiter] = []

    @router.post(
        "/v1/predict",
        summary=f"Probabilities of the {N_CLASSES_IN_WORDS} classes for one dermoscopic image",
        description=wording.brief_disclaimer(),
        openapi_extra=_BODY,
        response_model=PredictAnswer,
        responses=_refusals(401, 411, 413, 422, 503),
    )
    async def predict(request: Request) -> PredictAnswer | Response:
        if not users.accept_basic(request.headers.get("authorization")):
            return _refusal(401, "login", wording.LOGIN_NEEDED, {"WWW-Authenticate": 'Basic realm="lesionflow"'})
        if (refusal := _check_length(request)) is not None:
            return refusal
        if not limiter:
            limiter.append(CapacityLimiter(_CONCURRENT_ANSWERS))
        try:
            served, answer = await _ask(service, request, limiter[0])
        except InputRejected as error:
            return _refusal(422, error.field, str(error))
        except ModelNotReady as error:
            return _refusal(503, "model", str(error))
        return describe(served, answer, service.statements(served), is_refused=service.refuses(answer))

    # Probes of load balancers may add parameters of their own, so these two pass them over.
    @router.get("/healthz", summary="Whether the process is up", response_model=Health)
    async def healthz() -> Health:
        return Health(status="ok")

    @router.get(
        "/readyz",
        summary="Whether a model is approved and loaded",
        response_model=Readiness,
        responses=_refusals(503),
    )
    async def readyz() -> Readiness | Response:
        try:
            served = await to_thread.run_sync(service.approved.current)
        except ModelNotReady as error:
            return _refusal(503, "model", str(error))
        return Readiness(status="ready", model=served.approval.model_id)

    return router


async def _ask(service: PredictionService, request: Request, limiter: CapacityLimiter) -> tuple[Served, Answer]:
    check_address(request, NAMES)
    image, fields = await read_form(request)
    return await to_thread.run_sync(service.ask, image, read_metadata(fields), limiter=limiter)


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {**_REFUSALS[status], "model": Refusal} for status in statuses}


def _check_length(request: Request) -> Response | None:
    """Refuse a body before any of it is read; the server holds the sender to the length it gives."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        return _refusal(411, "image", wording.LENGTH_NEEDED)
    if int(length) > _MAX_BYTES + _FORM_OVERHEAD_BYTES:
        return _refusal(413, "image", wording.too_large(MAX_UPLOAD_MB))
    return None


def _refusal(status: int, field: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(Refusal(field=field, message=message).model_dump(), status_code=status, headers=headers)
