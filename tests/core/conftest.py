"""What lesion_core's tests share."""

import functools
import sys
from collections.abc import Iterator

import pytest

_PREPARE = "lesion_core.dataset.prepare"


@pytest.fixture(scope="module", autouse=True)
def few_shuffles(request: pytest.FixtureRequest) -> Iterator[None]:
    """Shuffle twice, not 19 times, in the shortcut audit of every dataset but those of its own tests.

    Hundreds of datasets of some forty images are prepared here, and the audit is nine tenths of each.
    """
    prepare = sys.modules.get(_PREPARE)
    with pytest.MonkeyPatch.context() as patch:
        if prepare is not None and not request.path.name.startswith("test_shortcuts"):
            quick = functools.partial(prepare.audit_shortcuts, n_shuffles=2)
            patch.setattr(prepare, "audit_shortcuts", quick)
        yield
