"""Counting the parts of a stage."""

import pytest

from lesion_core.progress import Progress, Tally
from tests.stages import finished_stages


def test_a_part_is_named_as_it_begins_and_counted_as_it_ends() -> None:
    heard: list[Progress] = []
    tally = Tally(heard.append, "export", 2)
    with tally.part("first"):
        assert (heard[-1].done, heard[-1].message) == (0, "first")
    with tally.part("second"):
        assert (heard[-1].done, heard[-1].message) == (1, "second")
    assert finished_stages(heard) == {"export": 2}
    assert {each.total for each in heard} == {2}


def test_a_part_that_fails_is_not_counted() -> None:
    heard: list[Progress] = []
    tally = Tally(heard.append, "export", 1)
    with pytest.raises(ValueError, match="no"), tally.part("the only one"):
        raise ValueError("no")
    assert [each.done for each in heard] == [0]


def test_counts_add_up_where_nobody_knows_the_total() -> None:
    heard: list[Progress] = []
    tally = Tally(heard.append, "list")
    tally.add(3, "a page")
    tally.add(4)
    assert [(each.done, each.total, each.message) for each in heard] == [(3, None, "a page"), (7, None, "")]
