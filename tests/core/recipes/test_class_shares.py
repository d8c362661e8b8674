"""The class shares that a training leaves in its logits."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lesion_core.recipes.class_shares import logit_offsets, prior_of_logits, shares_in_loss
from lesion_core.recipes.sections import Imbalance

_COUNTS = np.array([400, 900, 300, 80, 250, 20, 25, 60])


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0, 1.5])
@pytest.mark.parametrize(
    "imbalance", [{}, {"sampling_power": 0.0}, {"class_weight_power": 0.5}, {"effective_number": 0.99}]
)
def test_an_image_that_could_be_of_any_class_is_answered_with_the_prior(
    imbalance: dict[str, float], strength: float
) -> None:
    """What the loss asks for, found by minimising it: the softmax of the best logits is the prior."""
    asked = Imbalance.model_validate({**imbalance, "logit_adjustment": strength})
    shares = shares_in_loss(_COUNTS, asked)
    offsets = logit_offsets(shares, strength)
    best = minimize(lambda logits: float(-(shares * log_softmax(logits + offsets)).sum()), np.zeros(8), tol=1e-12).x
    assert softmax(best) == pytest.approx(prior_of_logits(_COUNTS, asked), abs=1e-4)


def test_the_usual_adjustment_leaves_a_flat_prior_and_none_that_of_the_training() -> None:
    assert prior_of_logits(_COUNTS, Imbalance()) == pytest.approx(np.full(8, 1 / 8))
    plain = Imbalance(logit_adjustment=0.0, sampling_power=0.0)
    assert prior_of_logits(_COUNTS, plain) == pytest.approx(_COUNTS / _COUNTS.sum())


def test_a_class_without_images_has_the_share_of_the_rarest() -> None:
    counts = np.where(np.arange(8) == 3, 0, _COUNTS)
    prior = prior_of_logits(counts, Imbalance(logit_adjustment=0.0))
    assert prior[3] == prior.min() == prior[5]
    assert prior.sum() == pytest.approx(1)
