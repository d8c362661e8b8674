"""The archive's query language, as its own server reads it.

::

    query   = all ("OR" all)*                      AND binds tighter than OR
    all     = one ("AND" one)*
    one     = "(" query ")" | condition+           conditions side by side mean AND; brackets need an AND or OR
    condition = ["-"] field ":" test               blanks are allowed between any two of these parts
    test    = "*"                                  present
            | word | "quoted"                      text: equal; abc* begins with, *abc ends with
            | number | ("[" | "{") low "TO" high ("]" | "}")   numbers; {} leaves the end out, * leaves it open
            | "true" | "false"                     flags

Numbers and flags are never quoted. A name (field, AND, OR) must not touch a letter or digit before it; beyond that,
blanks may be missing: ``age_approx:[20TO40]``, ``sex:"male"AND sex:*``. Some queries the server understands and then
cannot answer (``archive_fields.BROKEN_FLAGS``, a NUL in a text); such a one ``breaks``.
"""

import re
from dataclasses import dataclass

from lesion_core.archive_fields import (
    BROKEN_FLAGS,
    BROKEN_TEXTS,
    DIAGNOSIS,
    SEARCHED,
    SEARCHED_FLAGS,
    SEARCHED_NUMBERS,
    SEX,
)
from lesion_core.errors import ConfigError
from lesion_core.isic.mirror import conditions
from lesion_core.isic.mirror.conditions import PRESENT, Condition, Interval, Row

_MOST_BRACKETS = 50
_BLANKS = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"(?<![A-Za-z0-9_$])[A-Za-z0-9_$]+")
_WORD = re.compile(r"[A-Za-z0-9*_-]+")
_QUOTED = re.compile(r'"([^"\r\n]*)"')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_FLAG = re.compile(r"true|false|\*")


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood.

    Attributes:
        condition: Which rows it asks for.
        breaks: Whether the server fails to answer it.
    """

    condition: Condition
    breaks: bool = False

    def holds(self, row: Row) -> bool:
        """Return whether a row is asked for: field names to text, absent fields absent or empty."""
        return self.condition(row)


def parse_query(text: str) -> Query:
    """Return what a query asks for; an empty query asks for every row.

    Raises:
        ConfigError: The text is no query of this language, or asks for a field that cannot be searched.
    """
    stripped = text.strip()
    if not stripped:
        return Query(lambda row: True)
    if stripped.count("(") > _MOST_BRACKETS:
        raise ConfigError(f"expected at most {_MOST_BRACKETS} brackets in a query, got {stripped.count('(')}")
    parser = _Parser(stripped.expandtabs())
    condition = parser.any_of()
    if not parser.is_at_end():
        raise parser.unparsable()
    return Query(condition, parser.breaks)


class _Parser:
    """Recursive descent over the text of one query."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self.breaks = False

    def unparsable(self) -> ConfigError:
        """Return the error that the text from here on is none of the language."""
        return ConfigError(
            f'expected conditions such as {DIAGNOSIS[2]}:"Basal cell carcinoma" AND {SEX}:male, got '
            f"{self._text[self._position :] or 'the end'!r}"
        )

    def is_at_end(self) -> bool:
        """Return whether nothing but blanks is left."""
        self._skip_blanks()
        return self._position == len(self._text)

    def any_of(self) -> Condition:
        """Return the condition that begins here."""
        options = [self._all_of()]
        while self._takes_name("OR"):
            options.append(self._all_of())
        return conditions.any_of(options)

    def _all_of(self) -> Condition:
        parts = [self._one()]
        while self._takes_name("AND"):
            parts.append(self._one())
        return conditions.all_of(parts)

    def _one(self) -> Condition:
        if self._takes("("):
            condition = self.any_of()
            self._expect(")")
            return condition
        side_by_side = [self._condition()]
        while self._begins_condition():
            side_by_side.append(self._condition())
        return conditions.all_of(side_by_side)

    def _begins_condition(self) -> bool:
        """Return whether a sign or the name of a field stands here."""
        self._skip_blanks()
        before = self._position
        self._takes("-")
        is_field = self._peek(_NAME) in SEARCHED
        self._position = before
        return is_field

    def _condition(self) -> Condition:
        is_negated = self._takes("-")
        field = self._take(_NAME)
        if field not in SEARCHED:
            raise ConfigError(f"expected a field that the archive can search, got {field!r}")
        self._expect(":")
        self.breaks |= field in BROKEN_FLAGS | BROKEN_TEXTS
        if field in SEARCHED_NUMBERS:
            return self._number_test(field, is_negated)
        if field in SEARCHED_FLAGS:
            return self._flag_test(field, is_negated)
        return self._text_test(field, is_negated)

    def _text_test(self, field: str, is_negated: bool) -> Condition:
        value = self._peek(_WORD)
        if value:
            self._position += len(value)
        else:
            value = self._take(_QUOTED)[1:-1]
        self.breaks |= "\0" in value
        if value == PRESENT:
            return _presence(field, is_negated)
        return conditions.is_text(field, value, is_negated=is_negated)

    def _flag_test(self, field: str, is_negated: bool) -> Condition:
        value = self._take(_FLAG)
        if value == PRESENT:
            return _presence(field, is_negated)
        return conditions.is_flag(field, value, is_negated=is_negated)

    def _number_test(self, field: str, is_negated: bool) -> Condition:
        for opening in "[{":
            if self._takes(opening):
                return conditions.is_in(field, self._interval(opening), is_negated=is_negated)
        number = self._number()
        if number is None:
            return _presence(field, is_negated)
        return conditions.is_in(field, Interval(number, number), is_negated=is_negated)

    def _interval(self, opening: str) -> Interval:
        low = self._number()
        self._expect("TO")
        high = self._number()
        closing = "]" if self._takes("]") else "}"
        if closing == "}":
            self._expect("}")
        return Interval(low, high, opening == "[", closing == "]")

    def _number(self) -> float | None:
        """Return the number here, or ``None`` for an asterisk."""
        return None if self._takes(PRESENT) else float(self._take(_NUMBER))

    def _skip_blanks(self) -> None:
        blanks = _BLANKS.match(self._text, self._position)
        self._position = blanks.end() if blanks else self._position

    def _peek(self, pattern: re.Pattern[str]) -> str:
        self._skip_blanks()
        found = pattern.match(self._text, self._position)
        return found[0] if found else ""

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = self._peek(pattern)
        if not found:
            raise self.unparsable()
        self._position += len(found)
        return found

    def _takes(self, sign: str) -> bool:
        self._skip_blanks()
        is_there = self._text.startswith(sign, self._position)
        self._position += len(sign) if is_there else 0
        return is_there

    def _takes_name(self, name: str) -> bool:
        is_there = self._peek(_NAME) == name
        self._position += len(name) if is_there else 0
        return is_there

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise self.unparsable()


def _presence(field: str, is_negated: bool) -> Condition:
    return conditions.negated(conditions.is_present(field)) if is_negated else conditions.is_present(field)
