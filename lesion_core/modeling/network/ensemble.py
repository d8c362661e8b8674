"""Several networks that answer as one: their logits are averaged, and so are the shares that make these up.

Networks that differ in nothing but the seed err on different images, so their mean errs less, and knows better when
it may be wrong (Lakshminarayanan, Pritzel & Blundell 2017, arXiv:1612.01474). Being means, evidence and shares still
add up to the logits exactly.
"""

from collections.abc import Sequence

import keras

from lesion_core.modeling.network.network import NETWORK

_MEMBER = "member_"
_EMBEDDING = "embedding"


def member_name(number: int, n_members: int) -> str:
    """Return what the network of a member is called, ``number`` from 0; a single one is the network itself."""
    return NETWORK if n_members == 1 else f"{_MEMBER}{number}"


def as_ensemble(networks: Sequence[keras.Model]) -> keras.Model:
    """Return a network with the inputs and outputs of its members, whose weights it shares.

    Outputs are the means of theirs, but for the embeddings, which stand side by side: (n, members * d).

    Args:
        networks: From ``build_network``, alike but for their weights, named by ``member_name``. A single one is
            returned as it is.
    """
    if len(networks) == 1:
        return networks[0]
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in networks[0].input.items()
    }
    outputs = [network(inputs) for network in networks]
    joined = {name: _join(name)([each[name] for each in outputs]) for name in outputs[0]}
    return keras.Model(inputs, joined, name=NETWORK)


def members_of(network: keras.Model) -> list[keras.Model]:
    """Return the networks that a single view of a model is the mean of; itself where it is one network."""
    found = [layer for layer in network.layers if isinstance(layer, keras.Model) and layer.name.startswith(_MEMBER)]
    return found or [network]


def _join(name: str) -> keras.layers.Layer:
    kind = keras.layers.Concatenate if name == _EMBEDDING else keras.layers.Average
    return kind(name=name, dtype="float32")
