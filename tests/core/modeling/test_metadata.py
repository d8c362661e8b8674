"""Metadata layers: alone, in tf.data, saved and reloaded."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from lesion_core.modeling.network.metadata import MetadataDropout, MetadataEncoding, unknown_encoding

Fields = dict[str, np.ndarray]
N_FEATURES = 15


def _fields(ages: list[float], sexes: list[int], sites: list[int]) -> Fields:
    return {
        "age_years": np.array(ages, np.float32),
        "sex_code": np.array(sexes, np.int32),
        "site_code": np.array(sites, np.int32),
    }


PATIENTS = _fields([np.nan, 50.0, 80.0, 0.0], [0, 1, 2, 0], [0, 1, 8, 3])


def _reloaded(layer: keras.layers.Layer, path: Path) -> keras.Model:
    inputs = {name: keras.Input((), dtype=str(value.dtype), name=name) for name, value in PATIENTS.items()}
    keras.Model(inputs, layer(inputs)).save(path)
    return keras.saving.load_model(path)


def test_the_encoding_says_what_is_known_and_what_is_not() -> None:
    encoded = np.asarray(MetadataEncoding()(PATIENTS))
    expected = np.zeros((4, N_FEATURES), np.float32)
    expected[:, :3] = [[0, 0, 1], [0, 0, 0], [1.5, 2.25, 0], [-2.5, 6.25, 0]]
    expected[range(4), [3, 4, 5, 3]] = 1
    expected[range(4), [6, 7, 14, 9]] = 1
    np.testing.assert_array_equal(encoded, expected)


def test_nobody_known_is_encoded_as_the_layer_does() -> None:
    nobody = _fields([np.nan], [0], [0])
    np.testing.assert_array_equal(np.asarray(MetadataEncoding()(nobody))[0], unknown_encoding())


def test_the_encoding_is_the_same_in_tf_data_and_after_reloading(saved_path: Path) -> None:
    layer = MetadataEncoding()
    alone = np.asarray(layer(PATIENTS))
    mapped = next(iter(tf.data.Dataset.from_tensor_slices(PATIENTS).batch(4).map(layer))).numpy()
    np.testing.assert_array_equal(mapped, alone)
    np.testing.assert_array_equal(np.asarray(_reloaded(layer, saved_path)(PATIENTS)), alone)


@given(
    age=st.one_of(st.just(float("nan")), st.floats(0, 120, width=32)), sex=st.integers(0, 2), site=st.integers(0, 8)
)
def test_the_encoding_is_finite_with_one_flag_per_field(age: float, sex: int, site: int) -> None:
    row = np.asarray(MetadataEncoding()(_fields([age], [sex], [site])))[0]
    assert np.isfinite(row).all()
    assert row[3:6].sum() == row[6:].sum() == 1
    assert (row[2], row[3], row[6]) == (np.isnan(age), sex == 0, site == 0)


def test_half_precision_does_not_round_ages() -> None:
    layer = MetadataEncoding(dtype="mixed_bfloat16")
    row = np.asarray(layer(_fields([50.3], [1], [1])))[0]
    assert row.dtype == np.float32
    assert row[0] == np.float32((np.float32(50.3) - 50) / 20)


def test_dropout_does_nothing_outside_training(saved_path: Path) -> None:
    layer = MetadataDropout(0.9, seed=1)
    for name, value in layer(PATIENTS).items():
        np.testing.assert_array_equal(np.asarray(value), PATIENTS[name])
    for name, value in _reloaded(layer, saved_path)(PATIENTS).items():
        np.testing.assert_array_equal(np.asarray(value), PATIENTS[name])


def _dropped(layer: MetadataDropout, fields: Fields) -> Fields:
    return {name: np.asarray(value) for name, value in layer(fields, training=True).items()}


def test_dropout_makes_each_field_unknown_on_its_own_at_the_given_rate() -> None:
    n, rate = 20_000, 0.3
    after = _dropped(MetadataDropout(rate, seed=1), _fields([40.0] * n, [1] * n, [5] * n))
    unknown = np.stack([np.isnan(after["age_years"]), after["sex_code"] == 0, after["site_code"] == 0])
    assert unknown.mean(axis=1) == pytest.approx([rate] * 3, abs=0.02)
    assert np.abs(np.corrcoef(unknown) - np.eye(3)).max() < 0.05
    assert set(after["age_years"][~unknown[0]]) == {40.0}
    assert set(after["sex_code"][~unknown[1]]) == {1}
    assert set(after["site_code"][~unknown[2]]) == {5}


def test_dropout_draws_anew_at_every_step_also_in_tf_data() -> None:
    layer = MetadataDropout(0.5, seed=1)
    fields = _fields([40.0] * 64, [1] * 64, [5] * 64)
    batches = tf.data.Dataset.from_tensors(fields).repeat(2).map(lambda batch: layer(batch, training=True))
    first, second = (np.isnan(batch["age_years"].numpy()) for batch in batches)
    assert first.any()
    assert not np.array_equal(first, second)


def test_dropout_reloads_with_its_rate(saved_path: Path) -> None:
    model = _reloaded(MetadataDropout(0.25, seed=3, name="dropout"), saved_path)
    layer = model.get_layer("dropout")
    assert (layer.rate, layer.seed) == (0.25, 3)
