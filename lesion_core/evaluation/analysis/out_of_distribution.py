"""How many of the evaluated images a model flags as out of distribution, although they are none."""

import numpy as np
from pydantic import Field

from lesion_core.errors import DataError
from lesion_core.statistics.estimates import Estimate, known, percentile_interval, share_estimate
from lesion_core.statistics.intervals import draw_groups, group_codes
from lesion_core.types import Value


class FalseAlarms(Value):
    """Images of a split that are flagged; they are dermoscopic images of lesions, so each flag is a false alarm."""

    threshold: float | None = Field(description="An image with a higher score is flagged; none: the model has none")
    n_images: int = Field(ge=0, description="With a score")
    n_without_score: int = Field(ge=0, description="Images whose score is not known; they are left out")
    n_groups: int = Field(ge=0, description="Patients, lesions and near-duplicates joined; what is resampled")
    n_flagged: int | None = Field(default=None, ge=0)
    share: Estimate = Field(description="Of the images with a score")
    median_score: float | None = None
    highest_score: float | None = None


def measure_out_of_distribution(
    scores: np.ndarray, groups: np.ndarray, threshold: float | None, *, n_bootstrap: int = 1000, seed: int = 0
) -> FalseAlarms:
    """Count what is flagged, with the 95 % interval of its share over groups.

    Args:
        scores: float (n,), of the evaluated images; NaN where not known.
        groups: (n,) group of each image, of any sortable type.
        threshold: The model's; an image with a higher score is flagged.
        n_bootstrap: Resamples.
        seed: Same seed, same interval.

    Raises:
        DataError: Lengths that differ.
    """
    if len(scores) != len(groups):
        raise DataError(f"expected a group for each score, got {len(scores)} scores and {len(groups)} groups")
    is_known = np.isfinite(scores)
    kept = np.asarray(scores, np.float64)[is_known]
    codes = group_codes(np.asarray(groups)[is_known])
    n_groups = len(np.unique(codes))
    flagged = None if threshold is None else kept > threshold
    share = _share(flagged, codes, n_groups, n_bootstrap, seed) if flagged is not None else Estimate(value=None)
    return FalseAlarms(
        threshold=threshold,
        n_images=len(kept),
        n_without_score=int((~is_known).sum()),
        n_groups=n_groups,
        n_flagged=None if flagged is None else int(flagged.sum()),
        share=share,
        median_score=float(np.median(kept)) if len(kept) else None,
        highest_score=float(kept.max()) if len(kept) else None,
    )


def _share(flagged: np.ndarray, codes: np.ndarray, n_groups: int, n_bootstrap: int, seed: int) -> Estimate:
    if not n_groups:
        return Estimate(value=None)
    n_images = np.bincount(codes, minlength=n_groups).astype(np.float64)
    n_flagged = np.bincount(codes, flagged, minlength=n_groups)
    draws = [(drawn @ n_flagged) / (drawn @ n_images) for drawn in draw_groups(np.zeros(n_groups), n_bootstrap, seed)]
    low, high = percentile_interval(np.concatenate(draws)) if draws else (None, None)
    found = Estimate(
        value=known(flagged.mean()), low=low, high=high, method="none" if low is None else "group bootstrap"
    )
    return share_estimate(found, n_groups)
