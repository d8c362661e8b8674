"""Several views of one image: mirrored and turned, their answers averaged inside the network.

A lesion has no up or left, so each view is as good an image of it (test-time augmentation). The views are those of
the dihedral group of the square: all eight, or the four that leave rows rows. Averages are taken of the logits and
their shares, of the evidence turned back to where it is in the image, and of the embeddings. Being means, they add
up as those of a single view do.
"""

from typing import Any

import keras
from keras import ops

from lesion_core.errors import ConfigError
from lesion_core.modeling.network.network import NETWORK

_IMAGE, _MAP = "image", "evidence"

# A view: whether rows and columns are exchanged, and which of the two are then read backwards.
_View = tuple[bool, bool, bool]
_FOUR: list[_View] = [(False, False, False), (False, False, True), (False, True, False), (False, True, True)]
_EIGHT: list[_View] = [*_FOUR, *((True, rows, columns) for _, rows, columns in _FOUR)]
_VIEWS = {1: _FOUR[:1], 4: _FOUR, 8: _EIGHT}


def with_test_time_augmentation(model: keras.Model, n_views: int) -> keras.Model:
    """Return a network with the inputs and outputs of ``model`` that averages over views, and shares its weights.

    Args:
        model: A network from ``build_network``.
        n_views: 1 (``model`` itself), 4 (as it is, both mirrorings, the half turn) or 8 (with all quarter turns).

    Raises:
        ConfigError: Another number.
    """
    if n_views not in _VIEWS:
        raise ConfigError(f"expected {', '.join(map(str, _VIEWS))} views, got {n_views}; change the recipe's views")
    if n_views == 1:
        return model
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name) for name, tensor in model.input.items()
    }
    outputs = model(Views(n_views, name="views")(inputs))
    means = {name: MeanOfViews(n_views, is_map=name == _MAP, name=name)(output) for name, output in outputs.items()}
    return keras.Model(inputs, means, name=f"{model.name}_in_{n_views}_views")


def without_test_time_augmentation(model: keras.Model) -> keras.Model:
    """Return the network of a single view inside ``model``, with its weights; ``model`` if it has one view."""
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model) and layer.name == NETWORK]
    return inner[0] if inner else model


@keras.saving.register_keras_serializable(package="lesionflow")
class Views(keras.layers.Layer):
    """Each image in ``n_views`` views, view after view, and each patient's fields as often.

    Input: the network's, with ``image`` (n, s, s, 3) of any dtype. Output: the same, n_views * n rows.
    """

    def __init__(self, n_views: int, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        self.n_views = n_views

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {
            name: ops.concatenate(
                [_turned(value, view) if name == _IMAGE else value for view in _VIEWS[self.n_views]]
            )
            for name, value in inputs.items()
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_views": self.n_views}


@keras.saving.register_keras_serializable(package="lesionflow")
class MeanOfViews(keras.layers.Layer):
    """The mean over views that stand one after the other: (n_views * n, …) to (n, …), in float32.

    Args:
        n_views: As for ``Views``.
        is_map: Whether the input is a map (n_views * n, h, h, c), to be turned back first.
    """

    def __init__(self, n_views: int, is_map: bool = False, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        self.n_views, self.is_map = n_views, is_map

    def call(self, values: Any) -> Any:
        parts = ops.reshape(values, (self.n_views, -1, *values.shape[1:]))
        if not self.is_map:
            return ops.mean(parts, axis=0)
        turned_back = [_turned_back(parts[number], view) for number, view in enumerate(_VIEWS[self.n_views])]
        return ops.mean(ops.stack(turned_back), axis=0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_views": self.n_views, "is_map": self.is_map}


def _turned(images: Any, view: _View) -> Any:
    """Return the view of images (n, s, s, c)."""
    is_swapped, rows, columns = view
    images = ops.transpose(images, (0, 2, 1, 3)) if is_swapped else images
    return _backwards(images, rows, columns)


def _turned_back(maps: Any, view: _View) -> Any:
    """Undo ``_turned``."""
    is_swapped, rows, columns = view
    maps = _backwards(maps, rows, columns)
    return ops.transpose(maps, (0, 2, 1, 3)) if is_swapped else maps


def _backwards(images: Any, rows: bool, columns: bool) -> Any:
    # Slices, because ONNX has them for pixels of a byte, and no other way of reading backwards.
    return images[:, :: -1 if rows else 1, :: -1 if columns else 1]
