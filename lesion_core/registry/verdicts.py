"""What the gate found, as values that cross a task boundary."""

from pydantic import Field

from lesion_core.refs import ModelRef
from lesion_core.types import Value


class GateCheck(Value):
    """One condition of the gate and how it came out."""

    name: str
    passed: bool
    detail: str = Field(description="The numbers compared, in words")


class GateDecision(Value):
    """What the gate found for one report; a value, never an exception."""

    model: ModelRef
    report_id: str
    passed: bool
    checks: tuple[GateCheck, ...]
    compared_with: str | None = Field(
        default=None, description="Model id of the approved version it was compared with"
    )
