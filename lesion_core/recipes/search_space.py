"""A search space, as a recipe declares it: for each field, where its value may lie."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lesion_core.types import Value

Plain = bool | int | float | str | None  # what one field of a recipe may hold
FieldPath = Annotated[str, Field(pattern=r"^[a-z_]+(\.[a-z_]+)*$")]  # optimisation.learning_rate


class FloatRange(Value):
    """Real numbers from ``low`` to ``high``, both included."""

    type: Literal["float"]
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = Field(default=False, description="Draw the logarithm evenly: for rates, decays and the like")
    step: float | None = Field(default=None, gt=0, description="Only low, low + step, low + 2 step …")

    @model_validator(mode="after")
    def _can_be_drawn_from(self) -> "FloatRange":
        _check_order(self.low, self.high, self.log)
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; leave one of them out")
        return self

    def holds(self, value: Plain) -> bool:
        """Say whether ``value`` can be drawn."""
        if isinstance(value, bool | str) or value is None or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-8

    def probes(self) -> tuple[Plain, ...]:
        """Return values at which an invalid recipe shows: both ends and one that is no whole number."""
        return self.low, self.high, self.low if self.step else self.low + 0.381966 * (self.high - self.low)


class IntRange(Value):
    """Whole numbers from ``low`` to ``high``, both included."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = Field(default=False, description="Draw the logarithm evenly")
    step: int = Field(default=1, ge=1, description="Only low, low + step, low + 2 step …")

    @model_validator(mode="after")
    def _can_be_drawn_from(self) -> "IntRange":
        _check_order(self.low, self.high, self.log)
        if self.log and self.step != 1:
            raise ValueError("log and step exclude each other; leave one of them out")
        return self

    def holds(self, value: Plain) -> bool:
        """Say whether ``value`` can be drawn."""
        if isinstance(value, bool | str) or value is None:
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def probes(self) -> tuple[Plain, ...]:
        """Return both ends."""
        return self.low, self.high


class Choice(Value):
    """One of a few values without order."""

    type: Literal["choice"]
    choices: tuple[Plain, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _are_different(self) -> "Choice":
        if len({(type(value), value) for value in self.choices}) < len(self.choices):
            raise ValueError("the choices must differ from each other")
        return self

    def holds(self, value: Plain) -> bool:
        """Say whether ``value`` can be drawn."""
        return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices)

    def probes(self) -> tuple[Plain, ...]:
        """Return all of them."""
        return self.choices


Dimension = Annotated[FloatRange | IntRange | Choice, Field(discriminator="type")]
SearchSpace = dict[FieldPath, Dimension]


def _check_order(low: float, high: float, log: bool) -> None:
    if not low < high:
        raise ValueError(f"low must be less than high, got {low} and {high}")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range must lie above 0, got low {low}")
