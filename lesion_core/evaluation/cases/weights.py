"""Whether a map depends on what the model learnt: it is compared with that of the same model with shuffled weights.

Adebayo et al. 2018, "Sanity Checks for Saliency Maps" (arXiv:1810.03292): a map that stays as it is when the weights
are randomised shows edges of the image, whatever the model. The two maps of an image are compared by Spearman's rank
correlation of their cells, without its sign: a map that is turned over still shows the same edges.
"""

import numpy as np
from pydantic import Field
from scipy.stats import rankdata

from lesion_core.evaluation.cases.explained import Explained, maps_of, mean_of
from lesion_core.serving.predictor import Predictor
from lesion_core.statistics.estimates import Estimate
from lesion_core.types import Value

MOST_CORRELATION = 0.5


class WeightsCheck(Value):
    """How much of the map stays when weights are shuffled."""

    correlation: Estimate = Field(description="Mean absolute rank correlation of the two maps' cells, 0 to 1")
    n_images: int = Field(ge=0)
    n_groups: int = Field(ge=0)
    n_constant: int = Field(ge=0, description="Images left out: one of the maps has the same value everywhere")
    passed: bool | None = Field(description="The correlation is at most 0.5; none: no image could be compared")

    def in_words(self) -> str:
        """Say what was found."""
        verdict = {
            True: "The map depends on the weights",
            False: "The map hardly depends on the weights: it must not be read as the model's reason",
            None: "No map could be compared with that of shuffled weights",
        }[self.passed]
        left_out = f"({self.n_images} images; {self.n_constant} left out with a constant map)"
        if not self.n_images:
            return f"{verdict} {left_out}."
        return (
            f"{verdict}: rank correlation {self.correlation.in_words(2)} with the map of shuffled weights, at most "
            f"{MOST_CORRELATION:g} expected {left_out}."
        )


def check_weights(
    randomised: Predictor, explained: Explained, *, n_bootstrap: int = 1000, seed: int = 7
) -> WeightsCheck:
    """Compare maps with those of the same model with shuffled weights (``modeling.network.randomised``).

    Args:
        randomised: That model.
        explained: Images with the maps of the model as it is.
        n_bootstrap: Resamples of groups.
        seed: Of the resamples.
    """
    pairs = zip(explained.maps, maps_of(randomised, explained), strict=True)
    found = np.array([abs(rank_correlation(one, other)) for one, other in pairs])
    used = ~np.isnan(found)
    correlation = mean_of(found[used], explained.groups[used], n_bootstrap=n_bootstrap, seed=seed)
    return WeightsCheck(
        correlation=correlation,
        n_images=int(used.sum()),
        n_groups=len(np.unique(explained.groups[used])),
        n_constant=int((~used).sum()),
        passed=None if correlation.value is None else correlation.value <= MOST_CORRELATION,
    )


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of two maps, -1 to 1, or NaN where one is constant."""
    ranks = [rankdata(values.ravel()) - (values.size + 1) / 2 for values in (one, other)]
    lengths = np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1])
    return float(ranks[0] @ ranks[1] / lengths) if lengths > 0 else float("nan")
