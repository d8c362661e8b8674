"""Shells, machines, folders and servers as people report them: the program works there, or says what is wrong.

The documentation's table is what these runs see; ``python -m tests.faults.table`` writes it.
"""

from pathlib import Path

import pytest

from tests.faults.results import committed
from tests.faults.surroundings import SURROUNDING_CASES
from tests.faults.surroundings.case import SurroundingCase, try_surrounding
from tests.faults.table import surrounding_row
from tests.servers import S3Server, rclone

__all__ = ["rclone"]


@pytest.mark.parametrize("case", SURROUNDING_CASES, ids=lambda case: case.came)
def test_a_surrounding(case: SurroundingCase, few_authorities: None, rclone: S3Server, tmp_path: Path) -> None:
    outcome = try_surrounding(case, tmp_path / "place", rclone)
    case.expected.check(outcome)
    assert surrounding_row(case, outcome) in committed("surroundings")


def test_the_documentation_has_these_cases_and_no_others() -> None:
    assert [row[0] for row in committed("surroundings")] == [case.came for case in SURROUNDING_CASES]
