"""The kinds of metadata fields: a number, or one of some words."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from lesion_core.labels import code_of

UNKNOWN = "unknown"  # in forms, in tables for people, on the page
_MOST_IN_A_ROW = 4  # choices that a form shows side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataField:
    """What every kind of field has.

    Attributes:
        name: In the form, the HTTP API, tables of images and of answers.
        noun: For people, within a sentence.
        question: For people, above the form's control.
        archive_columns: The archive's names of what it states; the first is read where the field has no reader of
            its own (``isic.taxonomy``).
        table_columns: By which names a user's table may have it; empty: its own and those of the archive.
        known_as: How a known value reads in a sentence; ``{}`` is the value.
        help: A sentence for the HTTP API's description; empty: none.
        is_later: Whether tables and models were stored before the field was; every new field is later.
    """

    name: str
    noun: str
    question: str
    archive_columns: tuple[str, ...]
    table_columns: tuple[str, ...] = ()
    known_as: str = ""
    help: str = ""
    is_later: bool = True

    dtype: ClassVar[str]  # of the network's input

    @property
    def title(self) -> str:
        """The noun at the beginning of a sentence."""
        return self.noun[:1].upper() + self.noun[1:]

    @property
    def element(self) -> str:
        """What the form's control is called in the page's own code."""
        return self.noun.replace(" ", "-")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every name that a user's table may have for it, its own first."""
        return self.table_columns or tuple(dict.fromkeys((self.name, *self.archive_columns)))

    def in_words(self, value: object) -> str:
        """Return a value as part of a sentence: 'age 61', 'sex unknown'."""
        if value is None:
            return f"{self.noun} {UNKNOWN}"
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return (self.known_as or f"{self.noun} {{}}").format(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberField(MetadataField):
    """A number within a range, NaN for unknown in arrays.

    Attributes:
        unit: In the plural.
        low: Least value.
        high: Greatest value.
        centre: About the mean of the training images, subtracted before the network weighs the number.
        scale: About their spread, by which it is divided.
        bin_width: Of the counts in a report on a dataset, from 0 on.
        last_bin: Where the last of these begins; it holds all above.
        band_name: What an audit record keeps instead of the number.
        band_width: It keeps the lower end of a band so wide; the last begins at ``last_band``.
        last_band: Lower end of the last band.
    """

    unit: str
    low: float
    high: float
    centre: float
    scale: float
    bin_width: int
    last_bin: int
    band_name: str
    band_width: int
    last_band: int

    dtype: ClassVar[str] = "float32"

    @property
    def input(self) -> str:
        """Name of the network's input, and of the column that it is read from."""
        return self.name

    @property
    def annotation(self) -> Any:
        """Type of a known value."""
        return float

    @property
    def limits(self) -> dict[str, Any]:
        """Limits of a known value, as pydantic takes them."""
        return {"ge": self.low, "le": self.high}

    @property
    def n_bins(self) -> int:
        """How many bins a report counts in."""
        return self.last_bin // self.bin_width + 1

    @property
    def range_in_words(self) -> str:
        """The range with its unit: '0 to 120 years'."""
        return f"{self.low:g} to {self.high:g} {self.unit}"

    @property
    def expected_in_words(self) -> str:
        """What a form takes, for a message."""
        return f"a number of {self.unit} from {self.low:g} to {self.high:g}, or nothing where it is unknown"

    def drawn(self, share: float) -> str:
        """Return the value so far up the range as text, for a synthetic image; ``share`` is in [0, 1)."""
        return f"{round(self.low + share * (self.high - self.low))}"

    def encode(self, value: float | None) -> float:
        """Return a value as the network takes it."""
        return math.nan if value is None else float(value)

    def audited(self, value: float | None) -> tuple[str, object]:
        """Return name and value of what an audit record keeps: the band, as an exact number may single one out."""
        if value is None:
            return self.band_name, None
        return self.band_name, min(self.last_band, int(value) // self.band_width * self.band_width)

    @property
    def audited_as(self) -> str:
        """What an audit record keeps, in words."""
        return self.band_name.replace("_", " ")

    def described(self) -> dict[str, Any]:
        """Return what of the field decides an output, JSON-serialisable."""
        return {
            "name": self.name,
            "archive_columns": list(self.archive_columns),
            "numbers": [self.low, self.high, self.centre, self.scale],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryField(MetadataField):
    """One of some words, in their order; as a code, position plus one, 0 for unknown.

    Attributes:
        values: The words; a model's ``labels.json`` has them, so none is ever moved.
    """

    values: type[StrEnum]

    dtype: ClassVar[str] = "int32"

    @property
    def input(self) -> str:
        """Name of the network's input, and of the column that it is read from."""
        return f"{self.name}_code"

    @property
    def annotation(self) -> Any:
        """Type of a known value."""
        return self.values

    @property
    def limits(self) -> dict[str, Any]:
        """Limits of a known value, as pydantic takes them: the type has them."""
        return {}

    @property
    def words(self) -> tuple[str, ...]:
        """The values as text, in order."""
        return tuple(map(str, self.values))

    @property
    def choices(self) -> tuple[str, ...]:
        """What a form takes."""
        return (*self.words, UNKNOWN)

    @property
    def is_short(self) -> bool:
        """Whether a form shows all choices side by side."""
        return len(self.choices) <= _MOST_IN_A_ROW

    @property
    def expected_in_words(self) -> str:
        """What a form takes, for a message."""
        return f"one of {', '.join(self.choices)}"

    @property
    def order_name(self) -> str:
        """What the order of the values is called in a model's ``labels.json``."""
        return f"{self.name}_order"

    def drawn(self, share: float) -> str:
        """Return the value so far down the list as text, for a synthetic image; ``share`` is in [0, 1)."""
        return self.words[int(share * len(self.words))]

    def encode(self, value: str | None) -> int:
        """Return a value as the network takes it; raises ``ValueError`` for another word."""
        return code_of(value, tuple(self.values))

    def audited(self, value: str | None) -> tuple[str, object]:
        """Return name and value of what an audit record keeps."""
        return self.name, value

    @property
    def audited_as(self) -> str:
        """What an audit record keeps, in words."""
        return self.noun

    def described(self) -> dict[str, Any]:
        """Return what of the field decides an output, JSON-serialisable."""
        return {"name": self.name, "archive_columns": list(self.archive_columns), "values": list(self.words)}


AnyField = NumberField | CategoryField
