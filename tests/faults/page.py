"""The page's HTTP API around a small model, asked in this process."""

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.testclient import TestClient

from deployments.app.access import Users
from deployments.app.api import build_api
from deployments.app.approved import CHANNEL, ApprovedModel
from deployments.app.prediction_service import PredictionService
from lesion_core.registry.channels import move_channel
from lesion_core.stores.local import LocalStore
from tests.model_folders import publish_model


def now() -> datetime.datetime:
    """The time of everything here."""
    return datetime.datetime(2026, 3, 4, 5, 6, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class PageApi:
    """Routes of the page, and the store in which it keeps records of its answers."""

    client: TestClient
    store: LocalStore

    def ask(self, image: bytes, name: str = "image.jpg") -> tuple[int, str]:
        """Post an image under a file name; return the answer's status and whole text, headers included."""
        answer = self.client.post("/v1/predict", files={"image": (name, image, "image/jpeg")})
        return answer.status_code, f"{dict(answer.headers)}\n{answer.text}"


@contextlib.contextmanager
def page_api(folder: Path) -> Iterator[PageApi]:
    """Approve a small model in a store below ``folder`` and offer the routes over it."""
    store = LocalStore(folder / "store")
    model = publish_model(store, folder / "scratch")
    move_channel(store, CHANNEL, model, action="approve", approver="Dr Grey", reason="tested", clock=now)
    approved = ApprovedModel(store, folder / "served", lambda *_: None, poll_seconds=60, threads=1)
    app = FastAPI()
    app.include_router(build_api(PredictionService(approved=approved, audit_store=store, clock=now), Users(())))
    with TestClient(app) as client:
        yield PageApi(client, store)
