"""The page and its HTTP API as one ASGI application."""

import contextlib
import datetime
from collections.abc import AsyncIterator

import gradio as gr
from fastapi import FastAPI

from deployments.app.access import GuardedHeaders, Users
from deployments.app.api import build_api
from deployments.app.approved import ApprovedModel
from deployments.app.limits import read_limits
from deployments.app.page import STYLE, build_page, theme
from deployments.app.prediction_service import MAX_UPLOAD_MB, PredictionService
from lesion_core.serving import wording
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store


def create_app(settings: LesionSettings) -> FastAPI:
    """Return the application; serve it with one worker process.

    Routes: ``/`` the page, ``POST /v1/predict``, ``GET /healthz``, ``GET /readyz``, ``GET /openapi.json``.

    Raises:
        ConfigError: The store's address or ``page_users`` is invalid.
    """
    store = open_store(settings)
    users = Users(settings.page_users)
    approved = ApprovedModel(
        store,
        settings.work / "served",
        read_limits,
        poll_seconds=settings.page_poll_seconds,
        threads=settings.threads,
    )
    service = PredictionService(
        approved=approved,
        audit_store=store if settings.audit else None,
        clock=_utc_now,
        ood_policy=settings.ood_policy,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        approved.start()
        try:
            yield
        finally:
            approved.stop()

    # The documentation pages of FastAPI load their scripts from elsewhere; /openapi.json says the same.
    app = FastAPI(title=wording.TITLE, description=wording.SUBTITLE, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(GuardedHeaders)
    app.include_router(build_api(service, users))
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        build_page(service, poll_seconds=settings.page_poll_seconds),
        path="/",
        root_path=settings.page_root.rstrip("/") or None,
        auth=users.accept if users.required else None,
        auth_message=wording.brief_disclaimer() if users.required else None,
        allowed_paths=[],
        max_file_size=f"{MAX_UPLOAD_MB}mb",
        footer_links=[],
        run_history=False,  # Gradio would keep inputs and outputs in the browser
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        theme=theme(),
        css_paths=[STYLE],
    )
    return mounted


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
