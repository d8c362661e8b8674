"""What lesion_core's tests share."""

import functools
import sys
from collections.abc import Iterator

import pytest

_PREPARE = "lesion_core.dataset.prepare"
_OF_THE_AUDIT = ("test_shortcuts", "test_dataset_report")


@pytest.fixture(scope="module", autouse=True)
def few_shuffles(request: pytest.FixtureRequest) -> Iterator[None]:
    """Shuffle twice, not 19 times, in the shortcut audit of every dataset but those of the tests that read it.

    Hundreds of datasets of some forty images are prepared here, and the audit is nine tenths of each.
    """
    prepare = sys.modules.get(_PREPARE)
    with pytest.MonkeyPatch.context() as patch:
        if prepare is not None and request.path.stem not in _OF_THE_AUDIT:
            quick = functools.partial(prepare.audit_shortcuts, n_shuffles=2)
            patch.setattr(prepare, "audit_shortcuts", quick)
        yield
