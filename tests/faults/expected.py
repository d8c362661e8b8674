"""What may come of bad input: it is used, reported, or refused in one clear error."""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd

from lesion_core.errors import LesionError
from lesion_core.images import decode
from tests.faults.images import CORNER, SIZE, SKIN, SPOT

Happening = Literal["used", "left out", "set to unknown", "missed", "refused"]
Colour = tuple[int, int, int]
_HAPPENED = {
    "left out": "image left out, reported",
    "set to unknown": "value set to unknown, reported",
    "missed": "counted as missing, reported",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one image, or of the run that wanted it.

    Attributes:
        error: Class of the error that ended the run; empty where none did.
        words: Reason in ``issues.parquet``, or the error's message, without names of this machine.
        image: The image's row of the snapshot, if it has one.
        body: Its raw bytes in the store.
    """

    happened: Happening
    error: str = ""
    words: str = ""
    image: pd.Series | None = None
    body: bytes | None = None


class Expected(Protocol):
    """What must come of a case."""

    def check(self, outcome: Outcome) -> None:
        """Fail where something else came."""

    def in_words(self, outcome: Outcome) -> tuple[str, str]:
        """Return two cells of the table: what happens, and in which words."""


@dataclass(frozen=True, slots=True)
class Used:
    """The image is used, and its pixels are what a viewer shows.

    Attributes:
        how: Words for the table.
        stored_as: Ending under which its bytes lie in the store: what they are, not what they were called.
        corner: Colour at the upper left.
        centre: Colour in the middle.
        below: Colour at the lower edge.
    """

    how: str
    stored_as: str = "jpg"
    corner: Colour = CORNER
    centre: Colour = SPOT
    below: Colour = SKIN

    def check(self, outcome: Outcome) -> None:
        """Compare kind, size and three colours."""
        assert outcome.happened == "used", outcome
        assert outcome.image is not None
        assert outcome.body is not None
        assert str(outcome.image["image_key"]).endswith(f".{self.stored_as}")
        assert (outcome.image["width"], outcome.image["height"]) == SIZE
        pixels = decode(outcome.body, image_id="kept")
        assert pixels.shape == (*SIZE[::-1], 3)
        self.check_pixels(pixels)

    def check_pixels(self, pixels: np.ndarray) -> None:
        """Compare three colours of uint8 ``(height, width, 3)``, whatever the size."""
        height, width = pixels.shape[:2]
        places = ((height // 16, width // 16), (height // 2, width // 2), (height - 2, width // 2))
        for colour, place in zip((self.corner, self.centre, self.below), places, strict=True):
            assert np.abs(pixels[place].astype(int) - colour).max() <= 12, (place, pixels[place], colour)

    def in_words(self, outcome: Outcome) -> tuple[str, str]:
        """Say how it is used."""
        return "used", self.how


@dataclass(frozen=True, slots=True)
class Arrived:
    """The image arrives with its metadata, and there is nothing to report.

    Attributes:
        how: Words for the table.
        column: A column of ``images.parquet`` that shows it in the spoiled image's row.
        value: What it must hold.
    """

    how: str
    column: str = "age_years"
    value: object = 45.0

    def check(self, outcome: Outcome) -> None:
        """Compare the one value."""
        assert outcome.happened == "used", outcome
        assert outcome.image is not None
        assert outcome.image[self.column] == self.value

    def in_words(self, outcome: Outcome) -> tuple[str, str]:
        """Say how it is used."""
        return "used", self.how


@dataclass(frozen=True, slots=True)
class Reported:
    """``issues.parquet`` says in exactly these words why an image is left out, or one value of it unknown.

    'missed' is for images that the archive has and does not list.
    """

    words: str
    happened: Happening = "left out"

    def check(self, outcome: Outcome) -> None:
        """Compare what happened and the words."""
        assert (outcome.happened, outcome.words) == (self.happened, self.words)
        if self.happened != "missed":
            assert (outcome.image is None) == (self.happened == "left out")

    def in_words(self, outcome: Outcome) -> tuple[str, str]:
        """Say what happens and why."""
        return _HAPPENED[self.happened], outcome.words


@dataclass(frozen=True, slots=True)
class Refused:
    """The run ends with one error whose message holds these words."""

    error: type[LesionError]
    words: str

    def check(self, outcome: Outcome) -> None:
        """Compare the class and look for the words."""
        assert (outcome.happened, outcome.error) == ("refused", self.error.__name__), outcome
        assert self.words in outcome.words

    def in_words(self, outcome: Outcome) -> tuple[str, str]:
        """Say which error, whether a later attempt may help, and the whole message."""
        return f"run ends: {outcome.error}{' (may pass)' if self.error.transient else ''}", outcome.words


def cleaned(text: str) -> str:
    """Return a message without the names of this machine, and without how far a transfer came."""
    text = re.sub(r"field limit \(\d+\)", "field limit", text)
    text = re.sub(r"the connection broke \(.*\); ", "the connection broke; ", text)  # the system's own words
    text = re.sub(r"127\.0\.0\.1(:\d+)?", "archive.example", text)
    return re.sub(r"[\d,]+ bytes (?=in |by |not )", "some bytes ", text)
