"""Pretrained weights that a recipe names: by a path, or by a key in the store that any worker can read.

A key carries the digest of the content, so that a model's identity is known before anything is fetched, and what
arrives is checked. Nothing here imports Keras.
"""

import hashlib
import os
from pathlib import Path

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError
from lesion_core.keys import weights_key
from lesion_core.paths import expanded
from lesion_core.recipes.recipe import STORE_WEIGHTS, Recipe, names_stored_weights
from lesion_core.stores.filesystem import file_digest, locked, settle, temporary_file, translated
from lesion_core.stores.protocol import Store
from lesion_core.types import Sha256, StoreKey

_BLOCK_BYTES = 1 << 20


def weights_digest(weights: str) -> Sha256 | None:
    """Return the sha256 of the file that a recipe's ``weights`` name, or None for 'imagenet' and 'none'.

    Raises:
        ConfigError: They are the path of a file that cannot be read, or begin with an unknown ``~name``.
    """
    if weights in ("imagenet", "none"):
        return None
    if weights.startswith(STORE_WEIGHTS):
        return _key(weights).split("/")[1]
    path = expanded(weights)
    try:
        return file_digest(path)
    except OSError as error:
        raise ConfigError(
            "expected recipe.weights to be 'imagenet', 'none', the path of a weights file, or "
            f"store:weights/<sha256>/<file>, got {str(path)!r}: {error.strerror}"
        ) from error


def store_weights(store: Store, path: Path) -> str:
    """Put a weights file into the store; return what a recipe names it by.

    Raises:
        ConfigError: The file cannot be read, or a recipe cannot name it.
    """
    digest = weights_digest(str(path.absolute()))
    assert digest is not None
    named = f"{STORE_WEIGHTS}{weights_key(digest, path.name)}"
    if not names_stored_weights(named):
        raise ConfigError(
            "expected a file of weights named with letters, digits, '.', '_' or '-' and ending in .h5, .keras or "
            f".pth, got {path.name!r}; rename it"
        )
    if store.stat(_key(named)) is None:
        with path.open("rb") as stream:
            store.write(_key(named), stream)
    return named


def with_local_weights(recipe: Recipe, store: Store, cache: Path) -> Recipe:
    """Return the recipe with weights in the store replaced by the path of a verified file, and ``~`` expanded.

    Args:
        recipe: Any.
        store: Where its weights lie.
        cache: Folder for the copy, where the store is no directory of this machine.

    Raises:
        ConfigError: The store has no such weights.
        ArtifactCorrupt: What is there has another digest.
    """
    if not recipe.weights.startswith(STORE_WEIGHTS):
        at_home = recipe.weights.startswith("~")
        return recipe.model_copy(update={"weights": str(expanded(recipe.weights))}) if at_home else recipe
    try:
        path = _bring(store, _key(recipe.weights), cache)
    except ArtifactNotFound:
        raise ConfigError(
            f"recipe {recipe.name!r} names weights {recipe.weights}, which are not in {store.url}; put the file "
            "there with `lesion weights FILE`, or name a path"
        ) from None
    return recipe.model_copy(update={"weights": str(path)})


def _key(weights: str) -> StoreKey:
    return weights.removeprefix(STORE_WEIGHTS)


def _bring(store: Store, key: StoreKey, cache: Path) -> Path:
    expected = key.split("/")[1]
    if store.root is not None and (store.root / key).is_file():
        _check(store, key, file_digest(store.root / key), expected)
        return store.root / key
    path = cache / key
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock")):
            if not (path.is_file() and file_digest(path) == expected):
                _download(store, key, path, expected)
    return path


def _download(store: Store, key: StoreKey, path: Path, expected: Sha256) -> None:
    digest = hashlib.sha256()
    with store.open_reader(key) as stream, temporary_file(path) as (sink, temporary):
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            sink.write(block)
        settle(sink)
        _check(store, key, digest.hexdigest(), expected)
        os.replace(temporary, path)


def _check(store: Store, key: StoreKey, found: Sha256, expected: Sha256) -> None:
    if found != expected:
        raise ArtifactCorrupt(
            f"expected {key!r} in {store.url} to have sha256 {expected}, got {found}; put the file there again",
            key=key,
        )
