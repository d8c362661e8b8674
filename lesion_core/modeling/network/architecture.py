"""What a network is made of: its layers as a table, its parameters, and the blocks an image shows.

Nothing here imports Keras, so whoever draws the image need not load it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]

_KINDS = {"InputLayer": "Input", "Functional": "Network"}
_ROW = "{:<44}{:<24}{:<34}{:>12}"


@dataclass(frozen=True, slots=True)
class Block:
    """One box of the architecture image: a layer of the network, the backbone as a whole being one."""

    name: str
    kind: str  # the layer's class: 'Conv2D', 'Dense' …; 'Input', and 'Network' for the backbone
    shapes: tuple[Shape, ...]  # of its outputs, without the batch
    n_parameters: int
    inputs: tuple[str, ...]  # names of the blocks that feed it


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """A network in words and numbers; moving statistics count as parameters that do not train."""

    text: str  # one line per layer, those inside the backbone included, and the totals
    n_parameters: int  # of all members together, as are the next two
    n_trainable: int
    n_backbone: int
    blocks: tuple[Block, ...]  # every block after those that feed it
    n_views: int = 1  # over which its answers are averaged
    n_members: int = 1  # networks of this make that are averaged


def describe_network(model: Any, *, n_views: int = 1, n_members: int = 1) -> NetworkSummary:
    """Describe a network (a ``keras.Model`` from ``build_network``) as it is now: frozen layers do not train.

    ``n_views`` says over how many views of an image it will be averaged, ``n_members`` with how many of its make; the
    network is described once.

    Keras' own ``summary`` is as wide as the terminal; this text is the same wherever it is made.
    """
    blocks = tuple(_block(layer) for layer in model.layers)
    n_parameters = n_members * model.count_params()
    n_trainable = n_members * sum(_n_values(weight) for weight in model.trainable_weights)
    n_backbone = n_members * sum(block.n_parameters for block in blocks if block.kind == "Network")
    totals = [
        f"parameters       {n_parameters:>12,}",
        f"  in the backbone{n_backbone:>12,}",
        f"  that train     {n_trainable:>12,}",
        f"views averaged   {n_views:>12,}",
        f"networks averaged{n_members:>12,}",
    ]
    heading = _ROW.format("layer", "kind", "output", "parameters")
    text = "\n".join([heading, "-" * len(heading), *_rows(model, ""), "", *totals, ""])
    return NetworkSummary(text, n_parameters, n_trainable, n_backbone, blocks, n_views, n_members)


def _block(layer: Any) -> Block:
    # Keras keeps who feeds whom in the nodes made when a layer was called; there is one call per layer here.
    feeders = [tensor._keras_history.operation.name for tensor in layer._inbound_nodes[0].input_tensors]
    kind = type(layer).__name__
    return Block(
        layer.name, _KINDS.get(kind, kind), _shapes(layer), layer.count_params(), tuple(dict.fromkeys(feeders))
    )


def _shapes(layer: Any) -> tuple[Shape, ...]:
    output = layer.output
    tensors = output.values() if isinstance(output, dict) else output if isinstance(output, list) else [output]
    return tuple(tuple(tensor.shape[1:]) for tensor in tensors)


def _n_values(weight: Any) -> int:
    count = 1
    for side in weight.shape:
        count *= side
    return count


def _rows(model: Any, indent: str) -> Iterator[str]:
    for layer in model.layers:
        block = _block(layer)
        shapes = " ".join("×".join(map(str, shape)) or "1" for shape in block.shapes)
        yield _ROW.format(indent + block.name, block.kind, shapes, f"{block.n_parameters:,}").rstrip()
        if block.kind == "Network":
            yield from _rows(layer, indent + "  ")
