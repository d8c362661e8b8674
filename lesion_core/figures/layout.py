"""Where the boxes of a small flow chart stand: in rows from source to sink, few lines crossing.

The layered method of Sugiyama, Tagawa and Toda 1981, doi:10.1109/TSMC.1981.4308636, in its plainest form: rows by
longest path, a place held open wherever a line passes a row, each row ordered by the mean of its neighbours.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 12
_GAP_OF_A_LINE = 0.55  # room for a passing line, in box widths


@dataclass(frozen=True, slots=True)
class Layout:
    """Places in box widths (x, from 0 at the leftmost middle) and rows (from 0 at the top)."""

    places: dict[str, tuple[float, int]]
    lines: tuple[tuple[tuple[float, int], ...], ...]  # each from its source to its target, with points on its way

    @property
    def width(self) -> float:
        """Distance from the leftmost to the rightmost box's middle."""
        xs = [x for x, _ in self.places.values()]
        return max(xs) - min(xs)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return 1 + max(row for _, row in self.places.values())


def lay_out(feeders: Mapping[str, Sequence[str]]) -> Layout:
    """Place every node of an acyclic graph.

    Args:
        feeders: For each node, in order of computation, the nodes that feed it.
    """
    rows_of = _rows(feeders)
    chains = {
        (source, target): _chain(source, target, rows_of) for target, sources in feeders.items() for source in sources
    }
    rows: list[list[str]] = [[] for _ in range(1 + max(rows_of.values(), default=0))]
    for name, row in rows_of.items():
        rows[row].append(name)
    links: list[tuple[str, str]] = []
    for chain in chains.values():
        for step, name in enumerate(chain[1:-1], start=1):
            rows[rows_of[chain[0]] + step].append(name)
        links.extend(itertools.pairwise(chain))
    x = _spread(rows, links, real=set(rows_of))
    shift = min(x[name] for name in rows_of)
    lines = tuple(
        tuple((x[name] - shift, rows_of[chain[0]] + step) for step, name in enumerate(chain))
        for chain in chains.values()
    )
    return Layout({name: (x[name] - shift, row) for name, row in rows_of.items()}, lines)


def _rows(feeders: Mapping[str, Sequence[str]]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for name, sources in feeders.items():
        rows[name] = 1 + max((rows[source] for source in sources), default=-1)
    return rows


def _chain(source: str, target: str, rows: Mapping[str, int]) -> list[str]:
    """Return source, one name for every row passed, target."""
    return [source, *(f"{source}→{target}@{row}" for row in range(rows[source] + 1, rows[target])), target]


def _spread(rows: list[list[str]], links: list[tuple[str, str]], *, real: set[str]) -> dict[str, float]:
    """Return x for every name: sweeps down and up draw each towards the mean of its neighbours."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for source, target in links:
        below.setdefault(source, []).append(target)
        above.setdefault(target, []).append(source)
    x = {name: float(place) for row in rows for place, name in enumerate(row)}
    for sweep in range(_SWEEPS):
        is_down = sweep % 2 == 0
        for row in rows if is_down else reversed(rows):
            neighbours = above if is_down else below
            wanted = {name: _mean([x[other] for other in neighbours.get(name, [])], x[name]) for name in row}
            row.sort(key=lambda name, wanted=wanted: wanted[name])  # type: ignore[misc]
            x.update(_without_overlap(row, wanted, real))
    return x


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _without_overlap(row: list[str], wanted: Mapping[str, float], real: set[str]) -> dict[str, float]:
    """Push a row's names apart, and move the row back by the mean of the pushes."""
    x: dict[str, float] = {}
    for before, name in zip([None, *row], row, strict=False):
        gap = 1.0 if before in real and name in real else _GAP_OF_A_LINE
        x[name] = wanted[name] if before is None else max(wanted[name], x[before] + gap)
    back = _mean([x[name] - wanted[name] for name in row], 0.0)
    return {name: place - back for name, place in x.items()}
