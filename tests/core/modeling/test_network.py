"""The dual-input network: it adds up, freezes and thaws, saves and loads, and learns."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from lesion_core.errors import ConfigError
from lesion_core.modeling.network.network import build_network, freeze_backbone, unfreeze_backbone
from lesion_core.modeling.network.saved import load_network
from lesion_core.recipes.recipe import Recipe
from tests.core.modeling.conftest import Inputs, MakeInputs, MakeNetwork

EXPLAINED = ("additive", "none", "film", "metablock")
GATED = ("film", "metablock")


def _numpy(outputs: dict[str, object]) -> Inputs:
    return {name: np.asarray(value) for name, value in outputs.items()}


def _assert_adds_up(outputs: Inputs) -> None:
    image = outputs["evidence"].mean(axis=(1, 2))
    shares = image + outputs["metadata_logits"] + outputs.get("interaction_logits", 0)
    np.testing.assert_allclose(shares, outputs["logits"], atol=1e-5)
    assert np.abs(image).max() > 1e-3  # the map says something, or nothing would have been shown


@pytest.mark.parametrize("fusion", EXPLAINED)
@pytest.mark.parametrize("size_px", [64, 100])
def test_evidence_and_metadata_add_up_to_the_logits(
    make_network: MakeNetwork, make_inputs: MakeInputs, fusion: str, size_px: int
) -> None:
    outputs = _numpy(make_network(fusion=fusion, size_px=size_px)(make_inputs(3, size_px)))
    assert {name: (value.shape[0], value.shape[-1]) for name, value in outputs.items()} == {
        "logits": (3, 8),
        "evidence": (3, 8),
        "metadata_logits": (3, 8),
        "embedding": (3, 96),
        **({"interaction_logits": (3, 8)} if fusion in GATED else {}),
    }
    assert {value.dtype for value in outputs.values()} == {np.dtype(np.float32)}
    assert min(outputs["evidence"].shape[1:3]) >= 8
    _assert_adds_up(outputs)


def test_maps_whose_sides_do_not_divide_still_add_up(make_network: MakeNetwork, make_inputs: MakeInputs) -> None:
    model = make_network(backbone="mobilenet-v2-0.35", size_px=100)  # sides 13, 7 and 4
    outputs = _numpy(model(make_inputs(2, 100)))
    assert outputs["evidence"].shape == (2, 13, 13, 8)
    _assert_adds_up(outputs)


@pytest.mark.parametrize("fusion", ["additive", *GATED])
def test_it_adds_up_after_reloading_and_says_the_same(
    make_network: MakeNetwork, make_inputs: MakeInputs, saved_path: Path, fusion: str
) -> None:
    model, inputs = make_network(fusion=fusion), make_inputs(3, 64)
    model.save(saved_path)
    before, after = _numpy(model(inputs)), _numpy(load_network(saved_path)(inputs))
    _assert_adds_up(after)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_it_adds_up_inside_tf_data(make_network: MakeNetwork, make_inputs: MakeInputs) -> None:
    model, inputs = make_network(), make_inputs(4, 64)
    batches = tf.data.Dataset.from_tensor_slices(inputs).batch(2).map(lambda batch: model(batch, training=False))
    outputs = [{name: value.numpy() for name, value in batch.items()} for batch in batches]
    joined = {name: np.concatenate([batch[name] for batch in outputs]) for name in outputs[0]}
    _assert_adds_up(joined)
    np.testing.assert_allclose(joined["logits"], np.asarray(model(inputs)["logits"]), atol=1e-5)


@pytest.mark.parametrize("fusion", ["additive", "metablock"])
def test_it_adds_up_in_mixed_precision(make_inputs: MakeInputs, fusion: str) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_network(
            Recipe.model_validate(
                {"name": "test", "backbone": "tiny", "weights": "none", "size_px": 64, "fusion": fusion}
            )
        )
    finally:
        keras.config.set_dtype_policy(policy)
    outputs = _numpy(model(make_inputs(3, 64)))
    assert {value.dtype for value in outputs.values()} == {np.dtype(np.float32)}
    _assert_adds_up(outputs)


def test_metadata_shifts_the_logits_and_leaves_the_evidence(
    make_network: MakeNetwork, make_inputs: MakeInputs
) -> None:
    model, known = make_network(), make_inputs(3, 64)
    unknown = {**known, "age_years": np.full(3, np.nan, np.float32), "sex_code": np.zeros(3, np.int32)}
    first, second = _numpy(model(known)), _numpy(model(unknown))
    np.testing.assert_array_equal(first["evidence"], second["evidence"])
    assert np.abs(first["logits"] - second["logits"]).max() > 0.01


@pytest.mark.parametrize("fusion", GATED)
def test_the_shares_of_a_gated_head_tell_who_said_what(
    make_network: MakeNetwork, make_inputs: MakeInputs, fusion: str
) -> None:
    model, known = make_network(fusion=fusion), make_inputs(3, 64)  # the first patient is unknown in every field
    first = _numpy(model(known))
    np.testing.assert_allclose(first["interaction_logits"][0], 0, atol=1e-6)
    assert np.abs(first["interaction_logits"][1:]).min(axis=1).max() > 1e-4
    others = _numpy(model({**known, "age_years": known["age_years"][::-1], "site_code": known["site_code"][::-1]}))
    np.testing.assert_array_equal(first["evidence"], others["evidence"])  # no patient is in the map
    repainted = _numpy(model({**known, "image": 255 - known["image"]}))
    np.testing.assert_array_equal(first["metadata_logits"], repainted["metadata_logits"])  # and no pixel here


@pytest.mark.parametrize("fusion", GATED)
def test_a_gate_starts_the_same_for_every_patient(make_inputs: MakeInputs, fusion: str) -> None:
    content = {"name": "test", "backbone": "tiny", "weights": "none", "size_px": 64, "fusion": fusion}
    outputs = _numpy(build_network(Recipe.model_validate(content))(make_inputs(4, 64)))
    np.testing.assert_array_equal(outputs["interaction_logits"], np.zeros((4, 8), np.float32))
    assert np.ptp(outputs["metadata_logits"], axis=0).max() == 0


def test_image_only_does_not_hear_the_metadata(make_network: MakeNetwork, make_inputs: MakeInputs) -> None:
    model, known = make_network(fusion="none"), make_inputs(3, 64)
    others = {**known, "age_years": known["age_years"][::-1], "site_code": known["site_code"][::-1]}
    first, second = _numpy(model(known)), _numpy(model(others))
    np.testing.assert_array_equal(first["logits"], second["logits"])
    assert np.ptp(first["metadata_logits"], axis=0).max() == 0
    assert np.abs(first["metadata_logits"]).max() > 0.01


def test_concat_hears_both_and_shows_nothing(make_network: MakeNetwork, make_inputs: MakeInputs) -> None:
    model, inputs = make_network(fusion="concat"), make_inputs(3, 64)
    outputs = _numpy(model(inputs))
    assert set(outputs) == {"logits", "embedding"}
    for name in ("image", "age_years", "sex_code", "site_code"):
        changed = _numpy(model({**inputs, name: inputs[name][::-1]}))
        assert np.abs(changed["logits"] - outputs["logits"]).max() > 1e-4, name


def test_metadata_dropout_acts_in_training_only(make_network: MakeNetwork, make_inputs: MakeInputs) -> None:
    model, inputs = make_network(metadata_dropout=0.9), make_inputs(8, 64)
    calm = _numpy(model(inputs, training=False))["metadata_logits"]
    np.testing.assert_array_equal(calm, _numpy(model(inputs, training=False))["metadata_logits"])
    assert np.abs(calm - _numpy(model(inputs, training=True))["metadata_logits"]).max() > 0.01


def _learn(model: keras.Model, inputs: Inputs, labels: np.ndarray, n_steps: int) -> list[float]:
    optimizer = keras.optimizers.Adam(1e-2)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = cross_entropy(labels, model(inputs, training=True)["logits"])
        weights = model.trainable_weights
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    return [float(step()) for _ in range(n_steps)]


@pytest.mark.parametrize("fusion", [*EXPLAINED, "concat"])
def test_a_few_steps_lower_the_loss(make_network: MakeNetwork, make_inputs: MakeInputs, fusion: str) -> None:
    losses = _learn(make_network(fusion=fusion, dropout=0), make_inputs(8, 64), np.arange(8), 6)
    assert losses[-1] < losses[0]


def test_a_frozen_backbone_stays_as_it_is(make_network: MakeNetwork, make_inputs: MakeInputs) -> None:
    model, inputs = make_network(dropout=0), make_inputs(8, 64)
    freeze_backbone(model)
    backbone = model.get_layer("backbone")
    before, head = backbone.get_weights(), model.get_layer("evidence_0").get_weights()[0]
    maps = [np.asarray(value) for value in backbone(inputs["image"], training=False)]
    for calm, trained in zip(maps, backbone(inputs["image"], training=True), strict=True):
        np.testing.assert_array_equal(calm, np.asarray(trained))  # batch statistics are not used
    _learn(model, inputs, np.arange(8), 1)
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.abs(head - model.get_layer("evidence_0").get_weights()[0]).max() > 0


def test_a_thawed_backbone_trains_with_its_moving_statistics(
    make_network: MakeNetwork, make_inputs: MakeInputs
) -> None:
    model = make_network()
    freeze_backbone(model)
    unfreeze_backbone(model)
    backbone = model.get_layer("backbone")
    before = backbone.get_weights()
    _learn(model, make_inputs(8, 64), np.arange(8), 1)
    assert all(np.abs(old - new).max() > 0 for old, new in zip(before, backbone.get_weights(), strict=True))


@pytest.mark.parametrize("is_frozen", [True, False])
def test_reloading_remembers_what_was_frozen(make_network: MakeNetwork, saved_path: Path, is_frozen: bool) -> None:
    model = make_network()
    if is_frozen:
        freeze_backbone(model)
    model.save(saved_path)
    assert (not load_network(saved_path).get_layer("backbone").trainable_weights) == is_frozen


def test_the_same_seed_gives_the_same_network(make_network: MakeNetwork) -> None:
    for one, other in zip(make_network().get_weights(), make_network().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [None, b"no network"])
def test_a_file_that_is_no_network_is_refused(saved_path: Path, content: bytes | None) -> None:
    if content is not None:
        saved_path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"expected a saved network at .*model\.keras"):
        load_network(saved_path)


def test_another_network_is_refused(saved_path: Path) -> None:
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(saved_path)
    with pytest.raises(ConfigError, match="expected a network with inputs"):
        load_network(saved_path)
