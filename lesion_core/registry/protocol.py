"""What a channel is, and what is remembered of its moves."""

import datetime
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from lesion_core.refs import ModelRef
from lesion_core.types import Sha256, Slug, StoreKey, Value

Action = Literal["approve", "reject", "rollback", "nominate"]
Clock = Callable[[], datetime.datetime]


class ChannelEvent(Value):
    """One move of a channel; never changed afterwards."""

    number: int = Field(ge=1, description="Position in the channel's history, from 1, without gaps")
    channel: Slug
    action: Action
    model_id: str | None = Field(description="What the channel points at since; None: at nothing")
    model_sha256: Sha256 | None = Field(description="Digest of that version's index")
    previous_model_id: str | None = Field(description="What it pointed at before")
    approver: str = Field(min_length=1, max_length=200, description="Who decided")
    reason: str = Field(min_length=1, max_length=2000, description="Why")
    at: str = Field(description="ISO 8601, UTC")
    gate_key: StoreKey | None = Field(default=None, description="Key of the gate decision it rests on")


class ChannelState(Value):
    """What a channel points at, and how that came about."""

    channel: Slug
    number: int = Field(ge=1, description="Number of the event that put the model there")
    model: ModelRef
    action: Action
    approver: str
    reason: str
    at: str = Field(description="ISO 8601, UTC")
    gate_key: StoreKey | None = None
    previous_model_id: str | None = None
