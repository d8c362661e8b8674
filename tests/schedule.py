"""Which tests run, where and in which order: groups for the workers of pytest-xdist, and what waits for the night.

A group runs on one worker, in the order of its files, so that what its tests share is set up once. The local stack's
tests mostly wait, so their group is the first; the longest of the others follow.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

STACK = "stack"
_ROOT = Path(__file__).parent
# Tests of whole stacks that start their own: another worker's.
_OWN_STACK = ("test_stack.py", "test_schedules_on_postgres.py")
# Folders in the order in which their tests are handed out; what is not named comes after them.
_FIRST = ("flows", "core/training", "core/search", "core/modeling", "faults", "core/evaluation", "app", "core/isic")


def arrange(items: list[pytest.Item]) -> None:
    """Sort the groups, the longest first; keep the order inside each."""
    items.sort(key=_place)


def grouped(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler of pytest-xdist that hands out whole groups.

    Not its own ``loadgroup``: with pytest 9.2, pytest-xdist 3.8 cannot write the group into a test's id, and each
    worker then starts the stack.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Grouped(config, log)


def group_of(nodeid: str) -> str:
    """Return the group of a test, whose id begins with its file's path: the stack's tests, or those of one file."""
    path = PurePosixPath(nodeid.partition("::")[0])
    return STACK if path.parent.name == "flows" and path.name not in _OWN_STACK else path.as_posix()


def leave_for_the_night(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what only ``make nightly`` runs, unless ``--nightly`` asks for it."""
    if config.getoption("--nightly"):
        return
    left = [item for item in items if item.get_closest_marker("nightly")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _folder(item: pytest.Item) -> str:
    return item.path.parent.relative_to(_ROOT).as_posix()


def _place(item: pytest.Item) -> int:
    folder = _folder(item)
    return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)
