"""How much an answer changes when the same image is turned or mirrored, which means nothing for the lesion.

Each image is shown in the eight views of a square (four quarter turns, each also mirrored). The standard deviation
of the malignant probability over the views is its instability; whether unstable answers are wrong more often is
measured too, because only then may the page warn by it.
"""

import numpy as np
from pydantic import Field

from lesion_core.evaluation.analysis.variants import Metadata, Predict
from lesion_core.labels import CLASS_ORDER, MALIGNANT
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.types import Value

N_VIEWS = 8
_MALIGNANT = [CLASS_ORDER.index(name) for name in MALIGNANT]


class Instability(Value):
    """What turning and mirroring changes, measured on some of the images."""

    n_images: int = Field(ge=0)
    n_of: int = Field(ge=0, description="Images of the split")
    mean_spread: Estimate = Field(description="Mean standard deviation of the malignant probability over the views")
    changing: Estimate = Field(description="Share of images whose leading class is not the same in all views")
    changing_malignancy: Estimate = Field(
        description="Share of images whose leading class is malignant in some views only"
    )
    wrong_if_changing: Estimate = Field(description="Share of wrong answers among the images that change")
    wrong_if_steady: Estimate = Field(description="The same among those that do not")

    def rows(self) -> list[dict[str, str]]:
        """Return a table's rows."""
        named = {
            "standard deviation of the malignant probability over 8 views, mean": self.mean_spread,
            "images whose leading class changes": self.changing,
            "images that are called malignant in some views only": self.changing_malignancy,
            "wrong answers among images that change": self.wrong_if_changing,
            "wrong answers among images that do not": self.wrong_if_steady,
        }
        return [{"measure": name, "value": found.in_words()} for name, found in named.items()]


def views_of(pixels: np.ndarray) -> np.ndarray:
    """Return the eight views of square images: (8, n, s, s, c) of (n, s, s, c), the images themselves first."""
    turned = [np.rot90(pixels, turns, axes=(1, 2)) for turns in range(4)]
    return np.stack([*turned, *(one[:, :, ::-1] for one in turned)])


def measure_instability(
    view_probs: np.ndarray, class_index: np.ndarray, means: GroupMeans, *, n_of: int
) -> Instability:
    """Measure what changes over the views.

    Args:
        view_probs: float (8, n, k), probabilities of each view, the image itself first.
        class_index: int (n,), 0-based.
        means: Of the same images.
        n_of: Images that these were taken from.
    """
    leading = view_probs.argmax(axis=2)
    changes = (leading != leading[0]).any(axis=0)
    malignant = np.isin(leading, _MALIGNANT)
    wrong = leading[0] != class_index
    return Instability(
        n_images=len(class_index),
        n_of=n_of,
        mean_spread=means.mean(view_probs[:, :, _MALIGNANT].sum(axis=2).std(axis=0)),
        changing=means.share(changes),
        changing_malignancy=means.share((malignant != malignant[0]).any(axis=0)),
        wrong_if_changing=means.share(wrong, changes),
        wrong_if_steady=means.share(wrong, ~changes),
    )


def predict_views(predict: Predict, pixels: np.ndarray, metadata: Metadata) -> np.ndarray:
    """Return the probabilities of every view, float32 (8, n, k); arguments as for ``Predictor.predict``."""
    return np.stack([predict(np.ascontiguousarray(view), metadata) for view in views_of(pixels)])
