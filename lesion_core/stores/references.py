"""From artifact folders to the typed references that tasks hand on, and back.

The ``summary`` of a folder's index holds exactly the own fields of its reference: for a ``ModelRef``
``recipe``, ``dataset`` and ``synthetic``; ``id``, ``key`` and ``sha256`` come from the folder itself.
"""

from collections.abc import Iterator
from typing import TypeVar

from pydantic import ValidationError

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.keys import id_of
from lesion_core.refs import Ref
from lesion_core.stores.folders import FolderIndex, find, list_folders
from lesion_core.stores.protocol import Store
from lesion_core.types import JsonDict, Sha256, StoreKey

_Ref = TypeVar("_Ref", bound=Ref)


def ref_from_folder(ref_type: type[_Ref], folder_key: StoreKey, index: FolderIndex, sha256: Sha256) -> _Ref:
    """Return the reference to a published folder.

    Args:
        ref_type: Kind of reference, e.g. ``ModelRef``.
        folder_key: The folder.
        index: Its index, as ``folders.find`` and ``folders.publish`` return it.
        sha256: Digest of the index, as they return it.

    Raises:
        ArtifactCorrupt: The index's summary is not that of this kind of folder.
    """
    try:
        return ref_type.model_validate(
            {**index.summary, "id": id_of(folder_key), "key": folder_key, "sha256": sha256}
        )
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise ArtifactCorrupt(
            f"expected the index of {folder_key!r} to describe a {ref_type.__name__}, but of its summary these "
            f"fields are wrong: {fields}; it was made by another step or version",
            key=folder_key,
            expected=ref_type.__name__,
            actual=index.step,
        ) from error


def summary_of(ref: Ref) -> JsonDict:
    """Return the own fields of a reference: what its folder's index holds as ``summary``."""
    return ref.model_dump(mode="json", exclude=set(Ref.model_fields))


def find_reference(store: Store, ref_type: type[_Ref], folder_key: StoreKey) -> _Ref | None:
    """Return the reference to a folder if it is complete, else ``None``."""
    found = find(store, folder_key)
    return None if found is None else ref_from_folder(ref_type, folder_key, *found)


def list_references(store: Store, ref_type: type[_Ref], prefix: str) -> Iterator[_Ref]:
    """Yield the reference to each complete folder whose key begins with ``prefix``, sorted by key."""
    for folder_key, index, sha256 in list_folders(store, prefix):
        yield ref_from_folder(ref_type, folder_key, index, sha256)


def get_reference(store: Store, ref_type: type[_Ref], kind: str, artifact_id: str) -> _Ref:
    """Return the reference to the complete folder ``<kind>/<artifact_id>``.

    Args:
        store: Where it lives.
        ref_type: Kind of reference.
        kind: First part of the key: 'models', 'datasets', 'snapshots' or 'reports'.
        artifact_id: Readable id, e.g. 'isic-quick/0f3a9c1d22b4'.

    Raises:
        ArtifactNotFound: There is none; the message names those that are.
    """
    folder_key = f"{kind}/{artifact_id}"
    if (found := find_reference(store, ref_type, folder_key)) is not None:
        return found
    known = [id_of(key) for key, _, _ in list_folders(store, f"{kind}/")]
    raise ArtifactNotFound(
        f"expected one of these in {kind}: {', '.join(known) or 'nothing stored yet'}; got {artifact_id!r}",
        key=folder_key,
    )
