"""The description of a network agrees with the network."""

import pytest

from lesion_core.modeling.network.architecture import describe_network
from lesion_core.modeling.network.network import freeze_backbone
from tests.core.modeling.conftest import MakeNetwork


def test_the_counts_are_those_of_the_network(make_network: MakeNetwork) -> None:
    model = make_network()
    summary = describe_network(model)
    assert summary.n_parameters == model.count_params() == sum(block.n_parameters for block in summary.blocks)
    assert summary.n_backbone == model.get_layer("backbone").count_params()
    assert summary.n_parameters - summary.n_trainable == 2 * (16 + 32 + 64 + 96)  # moving means and variances


def test_a_frozen_backbone_does_not_train(make_network: MakeNetwork) -> None:
    model = make_network()
    freeze_backbone(model)
    summary = describe_network(model)
    assert summary.n_trainable == summary.n_parameters - summary.n_backbone


@pytest.mark.parametrize("fusion", ["additive", "none", "concat", "film", "metablock"])
def test_every_block_comes_after_those_that_feed_it(make_network: MakeNetwork, fusion: str) -> None:
    seen: set[str] = set()
    for block in describe_network(make_network(fusion=fusion)).blocks:
        assert seen.issuperset(block.inputs), block
        assert bool(block.inputs) == (block.kind != "Input")
        seen.add(block.name)
    assert {"image", "age_years", "sex_code", "site_code", "backbone", "logits"} <= seen


def test_the_blocks_carry_their_shapes(make_network: MakeNetwork) -> None:
    blocks = {block.name: block for block in describe_network(make_network()).blocks}
    assert blocks["backbone"].shapes == ((8, 8, 64), (4, 4, 96))
    assert blocks["evidence"].shapes == ((8, 8, 8),)
    assert set(blocks["logits"].inputs) == {"image_logits", "metadata_term"}


def test_the_text_names_every_layer_however_wide_the_terminal_is(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_network()
    text = describe_network(model).text
    monkeypatch.setenv("COLUMNS", "30")
    assert describe_network(model).text == text
    for layer in (*model.layers, *model.get_layer("backbone").layers):
        assert layer.name in text
    assert f"{model.count_params():,}" in text
