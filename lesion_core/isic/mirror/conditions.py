"""What the archive's query language can ask of one field, and which images that holds for.

A minus negates, and then also holds for images that lack the field. Values are case-sensitive.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lesion_core.archive_fields import IMAGE_TYPE

Row = Mapping[str, str]
Condition = Callable[[Row], bool]

# Names that the archive gave up and still understands in a query.
_OLD_VALUES = {(IMAGE_TYPE, "clinical"): "clinical: close-up", (IMAGE_TYPE, "overview"): "clinical: overview"}
PRESENT = "*"


def is_present(field: str) -> Condition:
    """Return the condition that a field has a value."""
    return lambda row: bool(row.get(field))


def is_text(field: str, value: str, *, is_negated: bool) -> Condition:
    """Return the condition on a text: equal, ``abc*`` begins with, ``*abc`` ends with.

    Negated, ``-field:*abc`` leaves out what *begins* with abc, and keeps what ends with it. That is a fault of the
    archive, and here the same.
    """
    value = _OLD_VALUES.get((field, value), value)
    if value.startswith("*"):
        rest = value[1:]
        if is_negated:
            return lambda row: not row.get(field, "").startswith(rest) or not row.get(field)
        return lambda row: bool(row.get(field)) and row[field].endswith(rest)
    if value.endswith("*"):
        return _signed(lambda row: bool(row.get(field)) and row[field].startswith(value[:-1]), is_negated)
    return _signed(lambda row: bool(row.get(field)) and row[field] == value, is_negated)


def is_flag(field: str, value: str, *, is_negated: bool) -> Condition:
    """Return the condition that a flag is ``value``, 'true' or 'false'."""
    return _signed(lambda row: row.get(field, "").lower() == value, is_negated)


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval of numbers; ``None`` is an open end."""

    low: float | None
    high: float | None
    includes_low: bool = True
    includes_high: bool = True

    def holds(self, value: float) -> bool:
        """Return whether a number lies in it."""
        above = self.low is None or value > self.low or (self.includes_low and value == self.low)
        below = self.high is None or value < self.high or (self.includes_high and value == self.high)
        return above and below


def is_in(field: str, interval: Interval, *, is_negated: bool) -> Condition:
    """Return the condition that a field's number lies in an interval."""
    return _signed(lambda row: (value := _number_of(row, field)) is not None and interval.holds(value), is_negated)


def all_of(conditions: list[Condition]) -> Condition:
    """Return the condition that all of them hold."""
    return conditions[0] if len(conditions) == 1 else lambda row: all(each(row) for each in conditions)


def any_of(conditions: list[Condition]) -> Condition:
    """Return the condition that one of them holds."""
    return conditions[0] if len(conditions) == 1 else lambda row: any(each(row) for each in conditions)


def negated(condition: Condition) -> Condition:
    """Return the condition that holds where this one does not."""
    return lambda row: not condition(row)


def _signed(condition: Condition, is_negated: bool) -> Condition:
    return negated(condition) if is_negated else condition


def _number_of(row: Row, field: str) -> float | None:
    try:
        return float(row.get(field, ""))
    except ValueError:
        return None
