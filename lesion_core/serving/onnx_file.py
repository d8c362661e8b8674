"""What a ``model.onnx`` must be like, and what it means where ONNX Runtime does not take it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lesion_core.errors import ArtifactCorrupt, ConfigError
from lesion_core.fields.table import FIELDS

NUMPY_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int32)": np.int32}
INPUTS = ("image", *(field.input for field in FIELDS))
_LATER = ("Unsupported model IR version", "Opset")  # how ONNX Runtime speaks of files made for a later one


def for_onnxruntime(path: Path) -> str | bytes:
    """Return the file's path, or its bytes where the locale makes of the path what is no text (umlauts in ASCII)."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.read_bytes()
    return str(path)


def unreadable(path: Path, said: str) -> ArtifactCorrupt | ConfigError:
    """Return the error for a file that ONNX Runtime does not load, by what it ``said``."""
    later = next((said[said.index(words) :] for words in _LATER if words in said), "")
    if later:
        return ConfigError(
            f"expected an ONNX model at {path} that this ONNX Runtime knows, got a later one: "
            f"{later.splitlines()[0]}; install the packages of the lock file with which it was made"
        )
    return ArtifactCorrupt(
        f"expected a readable ONNX model at {path}, got: {said}; train or copy the model again", key=str(path)
    )


def check_inputs(path: Path, types: Mapping[str, str]) -> None:
    """Check the names and types of a file's inputs.

    Raises:
        ArtifactCorrupt: One is none of ours, or there is no image among them.
    """
    strange = [f"{name} {kind}" for name, kind in types.items() if name not in INPUTS or kind not in NUMPY_TYPES]
    if strange or "image" not in types:
        raise ArtifactCorrupt(
            f"expected inputs among {', '.join(INPUTS)} of {', '.join(NUMPY_TYPES)} in {path}, got "
            f"{', '.join(strange) or 'no image'}; export the model again",
            key=str(path),
        )
