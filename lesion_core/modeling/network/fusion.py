"""Fusion: how feature maps and encoded metadata become logits over the classes.

'additive' keeps the image's evidence spatial, so each logit is exactly the mean of its evidence map plus the
metadata's share (the idea of class activation maps, Zhou et al. 2016, arXiv:1512.04150, with the map itself
as the output). 'none' is the same without metadata. 'film' and 'metablock' let the metadata gate the maps before
that, which adds a third share, their interaction. 'concat' mixes both in dense layers.

Feature maps enter a head through the layers ``dropout_<i>`` or, with 'concat', ``embedding`` alone; training on a
frozen backbone finds them by these names. Every head gives the same logits for a map as for its mean, spread
evenly: that training relies on it.
"""

import math
from typing import Any

import keras

from lesion_core.labels import N_CLASSES
from lesion_core.modeling.network.gates import GatedEvidence

Outputs = dict[str, keras.KerasTensor]

# Additivity is promised to 1e-5, which half precision cannot hold.
_EXACT = "float32"
_METADATA_UNITS = 32
_CONCAT_UNITS = 128


def additive_head(maps: list[keras.KerasTensor], metadata: keras.KerasTensor, dropout: float) -> Outputs:
    """Add the image's mean evidence and a linear metadata term.

    Args:
        maps: Feature maps (n, h, w, c), finest first.
        metadata: Encoded metadata (n, m).
        dropout: Share of feature channels dropped at training.

    Returns:
        evidence (n, h, w, k) at the finest map's resolution, metadata_logits (n, k) with the bias, logits (n, k),
        embedding (n, c): all float32.
    """
    return _add_up(maps, _metadata_term(metadata), dropout)


def image_only_head(maps: list[keras.KerasTensor], metadata: keras.KerasTensor, dropout: float) -> Outputs:
    """As ``additive_head``, with metadata_logits the same bias for every patient."""
    return _add_up(maps, BiasTerm(N_CLASSES, name="metadata_term")(metadata), dropout)


def film_head(maps: list[keras.KerasTensor], metadata: keras.KerasTensor, dropout: float) -> Outputs:
    """As ``additive_head``, with every feature scaled and shifted by the metadata first.

    Returns:
        As ``additive_head``, and interaction_logits (n, k): logits are the mean of evidence, which is that with all
        metadata unknown, plus metadata_logits plus interaction_logits.
    """
    return _add_up_gated("film", maps, metadata, dropout)


def metablock_head(maps: list[keras.KerasTensor], metadata: keras.KerasTensor, dropout: float) -> Outputs:
    """As ``film_head``, with MetaBlock's gate."""
    return _add_up_gated("metablock", maps, metadata, dropout)


def concat_head(maps: list[keras.KerasTensor], metadata: keras.KerasTensor, dropout: float) -> Outputs:
    """Concatenate pooled features and a metadata perceptron; there is no evidence to show.

    Returns:
        logits (n, k), embedding (n, c): float32.
    """
    layers = keras.layers
    embedding = _embedding(maps)
    image = layers.Dropout(dropout, name="image_dropout")(embedding)
    known = layers.Dense(_METADATA_UNITS, activation="relu", name="metadata_hidden")(metadata)
    mixed = layers.Concatenate(name="fusion")([image, known])
    mixed = layers.Dense(_CONCAT_UNITS, activation="relu", name="fusion_hidden")(mixed)
    mixed = layers.Dropout(dropout, name="fusion_dropout")(mixed)
    return {"logits": layers.Dense(N_CLASSES, dtype=_EXACT, name="logits")(mixed), "embedding": embedding}


@keras.saving.register_keras_serializable(package="lesionflow")
class BiasTerm(keras.layers.Layer):
    """A bias per class for every row of its input: (n, anything) to (n, ``units``)."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**{**options, "dtype": _EXACT})
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, rows: Any) -> Any:
        return keras.ops.zeros_like(rows[:, :1]) + self.bias

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def _metadata_term(metadata: keras.KerasTensor) -> keras.KerasTensor:
    # From zero, as in a logistic regression: the encoding's ages reach 6, which would start the loss high.
    return keras.layers.Dense(N_CLASSES, kernel_initializer="zeros", dtype=_EXACT, name="metadata_term")(metadata)


def _add_up(maps: list[keras.KerasTensor], term: keras.KerasTensor, dropout: float) -> Outputs:
    evidence = _evidence(maps, dropout)
    image = keras.layers.GlobalAveragePooling2D(dtype=_EXACT, name="image_logits")(evidence)
    return {
        "logits": _sum("logits", [image, term]),
        "evidence": evidence,
        "metadata_logits": term,
        "embedding": _embedding(maps),
    }


def _add_up_gated(kind: str, maps: list[keras.KerasTensor], metadata: keras.KerasTensor, dropout: float) -> Outputs:
    parts = []
    for number, features in enumerate(maps):
        kept = keras.layers.SpatialDropout2D(dropout, name=f"dropout_{number}")(features)
        parts.append(GatedEvidence(kind, name=f"evidence_{number}")([kept, metadata]))
    cells = maps[0].shape[1]
    spread = [_spread(part["evidence"], cells, f"spread_{number}") for number, part in enumerate(parts)]
    evidence = _sum("evidence", spread)
    image = keras.layers.GlobalAveragePooling2D(dtype=_EXACT, name="image_logits")(evidence)
    term = _sum("metadata_logits", [_metadata_term(metadata), *(part["metadata"] for part in parts)])
    interaction = _sum("interaction_logits", [part["interaction"] for part in parts])
    return {
        "logits": _sum("logits", [image, term, interaction]),
        "evidence": evidence,
        "metadata_logits": term,
        "interaction_logits": interaction,
        "embedding": _embedding(maps),
    }


def _sum(name: str, parts: list[keras.KerasTensor]) -> keras.KerasTensor:
    return keras.layers.Add(dtype=_EXACT, name=name)(parts)


def _evidence(maps: list[keras.KerasTensor], dropout: float) -> keras.KerasTensor:
    cells = maps[0].shape[1]
    parts = []
    for number, features in enumerate(maps):
        kept = keras.layers.SpatialDropout2D(dropout, name=f"dropout_{number}")(features)
        # The bias lives in the metadata term, so that the map holds nothing but what the image says.
        part = keras.layers.Conv2D(
            N_CLASSES,
            1,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype=_EXACT,
            name=f"evidence_{number}",
        )(kept)
        parts.append(_spread(part, cells, f"spread_{number}"))
    return _sum("evidence", parts)


def _spread(part: keras.KerasTensor, cells: int, name: str) -> keras.KerasTensor:
    """Lay a coarse map over ``cells`` × ``cells`` so that its mean stays the same.

    Where the sides divide, cells are repeated (nearest); else they are repeated to the least common multiple
    and averaged, which shares each coarse cell's evidence out by area.
    """
    side = part.shape[1]
    if side == cells:
        return part
    common = math.lcm(side, cells)
    part = keras.layers.UpSampling2D(common // side, dtype=_EXACT, name=name)(part)
    if common == cells:
        return part
    return keras.layers.AveragePooling2D(common // cells, dtype=_EXACT, name=f"{name}_share")(part)


def _embedding(maps: list[keras.KerasTensor]) -> keras.KerasTensor:
    return keras.layers.GlobalAveragePooling2D(dtype=_EXACT, name="embedding")(maps[-1])


HEADS = {
    "additive": additive_head,
    "none": image_only_head,
    "concat": concat_head,
    "film": film_head,
    "metablock": metablock_head,
}
