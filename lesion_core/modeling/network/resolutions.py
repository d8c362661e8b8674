"""At which resolution each layer of a network works: where maps can be tapped, and what belongs together.

A network halves its map several times. What stands between two halvings works at one resolution; a gate that
squeezes the map to one cell and gives it back (squeeze-and-excite) belongs to the resolution it gives it back to.
"""

from collections.abc import Iterator
from typing import Any

import keras

Place = tuple[Any, keras.KerasTensor]  # an operation and its output


def last_maps(network: keras.Model, skipped: tuple[str, ...] = ()) -> list[keras.KerasTensor]:
    """Return the last map at each resolution, finest first: just before the next halving.

    Args:
        network: Image (n, s, s, 3) to maps (n, h, w, c).
        skipped: Names of layers not to tap.
    """
    places = [place for place in _places(network, nested=False) if not _only_pads(place[0])]
    tapped: dict[int, keras.KerasTensor] = {}
    for (operation, output), side in zip(places, _sides(places), strict=True):
        if len(output.shape) == 4 and output.shape[1] == side and operation.name not in skipped:
            tapped[side] = output
    return list(tapped.values())


def stages_of(network: keras.Model) -> list[list[keras.layers.Layer]]:
    """Return the layers that have weights, grouped by the resolution they work at, finest first."""
    places = [place for place in _places(network, nested=True) if getattr(place[0], "weights", None)]
    stages: dict[int, list[keras.layers.Layer]] = {}
    for (layer, _), side in zip(places, _sides(places), strict=True):
        stages.setdefault(side, []).append(layer)
    return list(stages.values())


def _places(network: keras.Model, *, nested: bool) -> Iterator[Place]:
    """Yield what an image passes, in that order; with ``nested``, what is inside a network instead of it."""
    is_chain = isinstance(network, keras.Sequential)
    for operation in network.layers if is_chain else network.operations:
        if nested and isinstance(operation, keras.Model):
            yield from _places(operation, nested=True)
        else:
            # Keras keeps the outputs in the nodes made when an operation was called; the first is its own network's.
            yield operation, operation._inbound_nodes[0].output_tensors[0]


def _only_pads(operation: Any) -> bool:
    """Whether this widens the map before a halving, which makes no resolution of its own."""
    return isinstance(operation, keras.layers.ZeroPadding2D)


def _sides(places: list[Place]) -> list[int]:
    """Return the resolution of each place: the largest side from there on, as only a gate's grows again."""
    sides, largest = [], 1
    for _, output in reversed(places):
        if len(output.shape) == 4:
            largest = max(largest, output.shape[1])
        sides.append(largest)
    return sides[::-1]
