"""The archive's query language, as far as the mirror speaks it.

::

    query   = all ("OR" all)*                     AND binds tighter than OR
    all     = one (["AND"] one)*                  two conditions side by side mean AND
    one     = "(" query ")" | ["-"] field ":" test
    test    = "*"                                 present
            | word | "quoted"                     equal; abc* begins with, *abc ends with
            | ("[" | "{") low "TO" high ("]" | "}")   numbers; {} leaves the end out, * leaves it open

A minus negates, and then also matches what lacks the field. Values are case-sensitive.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lesion_core.errors import ConfigError

Row = Mapping[str, str]
Condition = Callable[[Row], bool]

NUMBER_FIELDS = frozenset({"age_approx", "clin_size_long_diam_mm", "mel_thick_mm"})
FLAG_FIELDS = frozenset(
    {"public", "melanocytic", "concomitant_biopsy", "mel_ulcer", "personal_hx_mm", "family_hx_mm"}
)
TEXT_FIELDS = frozenset(
    {
        "isic_id", "copyright_license", "image_type", "dermoscopic_type", "image_manipulation", "sex",
        *(f"anatom_site_{level}" for level in range(1, 6)), "anatom_site_special",
        *(f"diagnosis_{level}" for level in range(1, 6)), "diagnosis_confirm_type",
        "mel_mitotic_index", "fitzpatrick_skin_type", "tbp_tile_type", "lesion_id", "patient_id", "rcm_case_id",
    }
)  # fmt: skip
_MOST_BRACKETS = 50
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<bracket>[()])
      | (?P<join>AND|OR)(?=[\s()]|$)
      | (?P<minus>-)?(?P<field>[a-z][a-z0-9_]*):
        (?: "(?P<quoted>[^"]*)"
          | (?P<open>[\[{])\s*(?P<low>[^\s\]}]+)\s+TO\s+(?P<high>[^\s\]}]+)\s*(?P<close>[\]}])
          | (?P<word>[A-Za-z0-9*_.-]+) )(?=[\s()]|$)
    )""",
    re.VERBOSE,
)


def parse_query(text: str) -> Condition:
    """Return the condition that a query states; an empty query accepts every row.

    The condition takes a row as a mapping of field names to text, absent fields absent or empty.

    Raises:
        ConfigError: The text is no query of this language, or asks for a field that cannot be searched.
    """
    if not text.strip():
        return lambda row: True
    if text.count("(") > _MOST_BRACKETS:
        raise ConfigError(f"expected at most {_MOST_BRACKETS} brackets in a query, got {text.count('(')}")
    parser = _Parser(_tokens(text))
    condition = parser.any_of()
    if parser.rest():
        raise _unparsable(text)
    return condition


def _unparsable(text: str) -> ConfigError:
    return ConfigError(f'expected conditions such as diagnosis_3:"Basal cell carcinoma" AND sex:male, got {text!r}')


def _tokens(text: str) -> list[re.Match[str]]:
    found, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unparsable(text[position:])
        found.append(match)
        position = match.end()
    return found


class _Parser:
    """Recursive descent over the tokens of one query."""

    def __init__(self, tokens: list[re.Match[str]]) -> None:
        self._tokens = tokens
        self._position = 0

    def rest(self) -> bool:
        return self._position < len(self._tokens)

    def _takes(self, group: str, value: str) -> bool:
        if self.rest() and self._tokens[self._position][group] == value:
            self._position += 1
            return True
        return False

    def any_of(self) -> Condition:
        options = [self._all_of()]
        while self._takes("join", "OR"):
            options.append(self._all_of())
        return options[0] if len(options) == 1 else lambda row: any(option(row) for option in options)

    def _all_of(self) -> Condition:
        parts = [self._one()]
        while self._takes("join", "AND") or self._begins_another():
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _begins_another(self) -> bool:
        if not self.rest():
            return False
        token = self._tokens[self._position]
        return token["field"] is not None or token["bracket"] == "("

    def _one(self) -> Condition:
        if self._takes("bracket", "("):
            condition = self.any_of()
            if not self._takes("bracket", ")"):
                raise _unparsable("a bracket that is not closed")
            return condition
        if not self.rest() or self._tokens[self._position]["field"] is None:
            raise _unparsable("a query that ends or joins where a condition is expected")
        token = self._tokens[self._position]
        self._position += 1
        condition = _condition(token)
        return (lambda row: not condition(row)) if token["minus"] else condition


def _condition(token: re.Match[str]) -> Condition:
    field = token["field"]
    if field not in TEXT_FIELDS | NUMBER_FIELDS | FLAG_FIELDS:
        raise ConfigError(f"expected a field that the archive can search, got {field!r}")
    if token["open"]:
        return _in_range(token)
    value = token["quoted"] if token["word"] is None else token["word"]
    if value == "*":
        return lambda row: bool(row.get(field))
    if field in NUMBER_FIELDS:
        number = _number(value)
        return lambda row: _number_of(row, field) == number
    if field in FLAG_FIELDS:
        if value not in ("true", "false"):
            raise ConfigError(f"expected true, false or * for {field}, got {value!r}")
        return lambda row: row.get(field, "").lower() == value
    return _text_condition(field, value)


def _text_condition(field: str, value: str) -> Condition:
    if value.endswith("*"):
        start = value.removesuffix("*")
        return lambda row: bool(row.get(field)) and row[field].startswith(start)
    if value.startswith("*"):
        end = value.removeprefix("*")
        return lambda row: bool(row.get(field)) and row[field].endswith(end)
    return lambda row: row.get(field) == value


@dataclass(frozen=True, slots=True)
class _Range:
    """An interval of numbers; ``None`` is an open end."""

    low: float | None
    high: float | None
    includes_low: bool
    includes_high: bool

    def holds(self, value: float) -> bool:
        above = self.low is None or value > self.low or (self.includes_low and value == self.low)
        below = self.high is None or value < self.high or (self.includes_high and value == self.high)
        return above and below


def _in_range(token: re.Match[str]) -> Condition:
    field = token["field"]
    if field not in NUMBER_FIELDS:
        raise ConfigError(f"expected a field of numbers before a range, got {field!r}")
    low, high = (None if end == "*" else _number(end) for end in (token["low"], token["high"]))
    interval = _Range(low, high, token["open"] == "[", token["close"] == "]")
    return lambda row: (value := _number_of(row, field)) is not None and interval.holds(value)


def _number_of(row: Row, field: str) -> float | None:
    try:
        return float(row.get(field, ""))
    except ValueError:
        return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"expected a number, got {text!r}") from None
