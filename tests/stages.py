"""What a step reported of itself, stage by stage."""

from collections.abc import Sequence
from itertools import groupby, pairwise

from lesion_core.progress import Progress


def told_stages(heard: Sequence[Progress]) -> dict[str, list[Progress]]:
    """Return the news of each stage, in order; fails where a stage comes twice, or goes backwards."""
    runs = [(name, list(news)) for name, news in groupby(heard, key=lambda each: each.stage)]
    stages = dict(runs)
    assert len(stages) == len(runs), [name for name, _ in runs]
    for name, news in runs:
        assert all(one.done <= other.done for one, other in pairwise(news)), name
        assert all(each.total is None or each.done <= each.total for each in news), name
    return stages


def finished_stages(heard: Sequence[Progress]) -> dict[str, int]:
    """Return how many parts each stage had; fails where one did not tell its last part."""
    stages = told_stages(heard)
    for name, news in stages.items():
        assert news[-1].done == news[-1].total, name
    return {name: news[-1].done for name, news in stages.items()}
