"""Whole groups into parts (splits, folds), so that each class and each source has its share in every part."""

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lesion_core.labels import N_CLASSES


class GroupAllocator:
    """Distributes groups over parts; what it counts are images.

    Groups are drawn in an order that depends on the seed and their name alone. Class by class, the rarest first, each
    goes to the part where the class, and the class within the source, are together furthest below their share; not
    to one where the class would be above its share if another has room.

    Args:
        images: Columns ``group``, ``class_index`` (int, 0-based) and ``source`` (string).
        shares: Share of each part; they sum to 1.
        seed: Of the order.
        given: Part of each group that has one already; others than those of ``shares`` are not counted.
        first: Which parts get the first groups of a class, in this order.
    """

    def __init__(
        self,
        images: pd.DataFrame,
        shares: Mapping[str, float],
        *,
        seed: int,
        given: Mapping[str, str],
        first: Sequence[str] = (),
    ) -> None:
        self.parts = tuple(shares)
        self.first = first
        self.shares = np.array(list(shares.values()))
        classes = images["class_index"].astype(np.int64)
        table = pd.crosstab(images["group"], classes).reindex(columns=range(N_CLASSES), fill_value=0)
        self.sizes: dict[str, np.ndarray] = dict(zip(table.index, table.to_numpy(), strict=True))
        totals = table.to_numpy().sum(axis=0)
        self.rarest_first = sorted(range(N_CLASSES), key=lambda number: (totals[number], number))
        self.targets = totals[:, None] * self.shares
        self.counts = np.zeros((N_CLASSES, len(self.parts)))
        self._count_cells(images["group"], classes, images["source"])
        self.chosen: dict[str, str] = {}
        for group, part in given.items():
            if group in self.sizes and part in shares:
                self._put(group, part)
        fresh = [group for group in self.sizes if group not in given]
        self.drawn = sorted(fresh, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())

    def run(self) -> dict[str, str]:
        """Return the part of every group."""
        members: dict[int, list[str]] = {number: [] for number in range(N_CLASSES)}
        for group in self.drawn:
            rarest = next(number for number in self.rarest_first if self.sizes[group][number])
            members[rarest].append(group)
        for number in self.rarest_first:
            for group in self._start(number, members[number]):
                self._put(group, self._neediest(number, group))
        return self.chosen

    def _count_cells(self, groups: pd.Series, classes: pd.Series, sources: pd.Series) -> None:
        """Number the pairs of class and source; note how many images of each pair every group holds."""
        cells = pd.MultiIndex.from_arrays([classes, sources]).factorize(sort=True)[0]
        sizes = pd.DataFrame({"group": groups.to_numpy(), "cell": cells}).value_counts(sort=False).reset_index()
        self.cells: dict[str, list[tuple[int, int]]] = {}
        for group, cell, size in sizes.itertuples(index=False):
            self.cells.setdefault(group, []).append((cell, size))
        totals = np.bincount(cells, minlength=1)
        self.cell_targets = totals[:, None] * self.shares
        self.cell_counts = np.zeros((len(totals), len(self.parts)))

    def _start(self, number: int, groups: list[str]) -> list[str]:
        """Give each part that has none of the class its first group; return the groups that are left."""
        left = list(groups)
        for part in self.first:
            column = self.parts.index(part)
            if left and not self.counts[number, column]:
                room = max(1, math.ceil(self.targets[number, column]))
                first = min(left, key=lambda group: max(0, self.sizes[group][number] - room))
                left.remove(first)
                self._put(first, part)
        return left

    def _neediest(self, number: int, group: str) -> str:
        after = self.counts[number] + self.sizes[group][number]
        fits = after <= np.ceil(self.targets[number] - 1e-9)
        if not fits.any():
            return self.parts[int(np.argmin(after / np.maximum(self.targets[number], 1e-9)))]
        lack = self.targets[number] - self.counts[number]
        for cell, size in self.cells[group]:
            lack = lack + (self.cell_targets[cell] - self.cell_counts[cell]) * size / self.sizes[group].sum()
        # Where the need is the same, the part that holds least: else small classes would all begin in the first.
        need = lack / self.shares - 1e-6 * self.counts.sum(axis=0) / self.shares
        return self.parts[int(np.argmax(np.where(fits, need, -np.inf)))]

    def _put(self, group: str, part: str) -> None:
        column = self.parts.index(part)
        self.chosen[group] = part
        self.counts[:, column] += self.sizes[group]
        for cell, size in self.cells[group]:
            self.cell_counts[cell, column] += size
