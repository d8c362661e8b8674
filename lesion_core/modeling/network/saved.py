"""Networks as they are saved: read here, where every layer that one may be made of is known to Keras."""

from pathlib import Path

import keras

from lesion_core.errors import ConfigError
from lesion_core.fields.table import later_fields
from lesion_core.modeling.network import test_time_augmentation  # noqa: F401 - registers the layers that only averaging over views has
from lesion_core.modeling.network.network import INPUT_NAMES

_LATER = {field.input for field in later_fields()}  # which a network that was saved before does not take


def load_network(path: Path) -> keras.Model:
    """Load a network saved as ``model.keras``, with the test-time augmentation that it was saved with.

    Raises:
        ConfigError: The file is missing, damaged, or no such network.
    """
    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise ConfigError(
            f"expected a saved network at {path}, got: {error}; train again or restore the file"
        ) from error
    names = {tensor.name for tensor in model.inputs}
    if names - INPUT_NAMES or INPUT_NAMES - names - _LATER:
        raise ConfigError(f"expected a network with inputs {sorted(INPUT_NAMES)} at {path}, got {model.name}")
    return model
