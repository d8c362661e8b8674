"""The dual-input network: image and metadata in, logits over the classes out."""

import keras

from lesion_core.fields.table import FIELDS
from lesion_core.modeling.network.backbones import BACKBONE, build_backbone
from lesion_core.modeling.network.fusion import HEADS
from lesion_core.modeling.network.metadata import MetadataDropout, MetadataEncoding
from lesion_core.recipes.recipe import Recipe

NETWORK = "lesionflow"
METADATA_DROPOUT = "metadata_dropout"
INPUT_NAMES = frozenset({"image", *(field.input for field in FIELDS)})


def build_network(recipe: Recipe, *, name: str = NETWORK) -> keras.Model:
    """Build one network as a recipe describes it; callers seed Keras first for repeatable initial weights.

    Inputs (dict): ``image`` uint8 (n, s, s, 3) RGB, and the metadata fields: ``age_years`` float32
    (n,), NaN unknown; ``sex_code`` and ``site_code`` int32 (n,), 0 unknown. All of them whatever the head.

    Outputs (dict, float32): ``logits`` (n, k) and ``embedding`` (n, d); with fusions 'additive' and 'none' also
    ``evidence`` (n, h, w, k), h and w at least 8, and ``metadata_logits`` (n, k), where
    logits = mean of evidence over h and w + metadata_logits. With 'film' and 'metablock' also ``interaction_logits``
    (n, k), which is added to that sum; evidence is then that with all metadata unknown.

    Raises:
        ConfigError: The weights are missing, damaged, or made for another network.
    """
    size = recipe.size_px
    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    fields = {field.input: keras.Input((), dtype=field.dtype, name=field.input) for field in FIELDS}
    maps = build_backbone(recipe.backbone, size, recipe.weights)(image)
    known = MetadataDropout(recipe.metadata_dropout, seed=recipe.seed, name=METADATA_DROPOUT)(fields)
    metadata = MetadataEncoding(name="metadata_encoding")(known)
    outputs = HEADS[recipe.fusion](list(maps), metadata, recipe.dropout)
    return keras.Model({"image": image, **fields}, outputs, name=name)


def freeze_backbone(model: keras.Model) -> None:
    """Stop the backbone's weights and moving statistics from changing; compile the model after this.

    Its BatchNormalization layers then run in inference mode even in a training step.
    """
    model.get_layer(BACKBONE).trainable = False


def unfreeze_backbone(model: keras.Model) -> None:
    """Let the whole backbone train, batch statistics included; compile the model after this."""
    model.get_layer(BACKBONE).trainable = True
