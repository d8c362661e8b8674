"""One surrounding: what is there, where people report it, and what comes of it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lesion_core.errors import LesionError
from tests.faults.expected import Outcome, Refused, cleaned
from tests.servers import S3Server

_SHELLS_OWN = ("LESION_", "AWS_", "GRADIO_")


@dataclass(frozen=True, slots=True)
class Place:
    """What an act has at hand.

    Attributes:
        folder: An empty folder of its own.
        server: A real S3 server.
        patch: Sets variables for the time of the act.
    """

    folder: Path
    server: S3Server
    patch: pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Works:
    """The program does what it is asked; the act itself looks at the result.

    Attributes:
        how: Words for the table.
    """

    how: str

    def check(self, outcome: Outcome) -> None:
        """Fail where an error came."""
        assert outcome.happened == "used", outcome

    def in_words(self, outcome: Outcome) -> tuple[str, str]:
        """Say how it is used."""
        return "used", self.how


@dataclass(frozen=True, slots=True)
class SurroundingCase:
    """A row of the table.

    Attributes:
        came: What is there.
        reported: A public thread about it, such as boto/boto3#4121; empty where it was found by trying.
        expected: What must come of it.
        act: What a user does there; fails where the result is not right.
    """

    came: str
    reported: str
    expected: Works | Refused
    act: Callable[[Place], None]

    @property
    def link(self) -> str:
        """The thread as Markdown."""
        if not self.reported:
            return ""
        repository, _, number = self.reported.partition("#")
        return f"[{self.reported}](https://github.com/{repository}/issues/{number})"


def try_surrounding(case: SurroundingCase, folder: Path, server: S3Server) -> Outcome:
    """Do what the case says in a clean environment, and return what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_SHELLS_OWN) and "_TEST_" not in name]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder / "home"))  # where boto3 would find settings of this machine
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        try:
            case.act(Place(folder, server, patch))
        except LesionError as error:
            words = cleaned(str(error)).replace(str(folder), "FOLDER")
            return Outcome("refused", error=type(error).__name__, words=words)
    return Outcome("used")
