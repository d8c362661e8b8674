"""What a training runs on: one path for a processor, a GPU, or several."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from lesion_core.errors import ConfigError, TrainingError
from lesion_core.modeling.network.network import build_network
from lesion_core.recipes.recipe import Recipe

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def set_up(recipe: Recipe) -> None:
    """Set this process to the recipe's seed, determinism and precision, before its network is built.

    In mixed precision the variables stay float32, and so do the layers whose results are added up to logits.
    """
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(_POLICIES[recipe.optimisation.precision])
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()


def make_strategy(recipe: Recipe) -> tf.distribute.Strategy:
    """Return the strategy for the GPUs that are visible: mirrored over several, else TensorFlow's default.

    Raises:
        ConfigError: A batch has fewer images than there are GPUs.
    """
    n_gpus = len(tf.config.list_logical_devices("GPU"))
    if n_gpus < 2:
        return tf.distribute.get_strategy()
    if recipe.optimisation.batch_size < n_gpus:
        raise ConfigError(
            f"recipe {recipe.name!r} wants batches of {recipe.optimisation.batch_size} images, too few for "
            f"{n_gpus} GPUs; raise optimisation.batch_size or show it fewer with CUDA_VISIBLE_DEVICES"
        )
    return tf.distribute.MirroredStrategy()


def losses_kept_back() -> int:
    """Return how many losses may stay on the device unread: on a GPU, reading each one would stop the queue."""
    return 8 if tf.config.list_logical_devices("GPU") else 0


@contextmanager
def memory_refused(message: str) -> Iterator[None]:
    """Say ``message`` where the machine has no memory left for what is done inside.

    Raises:
        TrainingError: It has none.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise TrainingError(message) from error


def as_float32(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Return the network in full precision with the weights of ``model``, as it is stored and served."""
    if recipe.optimisation.precision == "float32":
        return model
    keras.config.set_dtype_policy("float32")
    plain = build_network(recipe.model_copy(update={"weights": "none"}), name=model.name)
    plain.set_weights(model.get_weights())
    return plain
