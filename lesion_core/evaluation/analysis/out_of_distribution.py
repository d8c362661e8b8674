"""How many of the evaluated images a model flags as out of distribution, although they are none."""

import json

import numpy as np
from pydantic import Field

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, DataError
from lesion_core.evaluation.report import ANALYSES_NAME
from lesion_core.refs import ReportRef
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store
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
    of_kept = np.asarray(groups)[is_known]
    flagged = None if threshold is None else kept > threshold
    means = GroupMeans(np.zeros(len(kept), np.int64), of_kept, n_bootstrap, seed)
    return FalseAlarms(
        threshold=threshold,
        n_images=len(kept),
        n_without_score=int((~is_known).sum()),
        n_groups=len(np.unique(of_kept)),
        n_flagged=None if flagged is None else int(flagged.sum()),
        share=Estimate(value=None) if flagged is None else means.share(flagged),
        median_score=float(np.median(kept)) if len(kept) else None,
        highest_score=float(kept.max()) if len(kept) else None,
    )


def read_flags(store: Store, report: ReportRef) -> FalseAlarms | None:
    """Return what a report says of its images' scores; ``None`` where it has no analyses, or its model no score.

    Raises:
        ArtifactCorrupt: Its bytes are not those that were published, or no analyses of this version.
    """
    try:
        found = json.loads(read_file(store, report, ANALYSES_NAME))["out_of_distribution"]
        return None if found is None else FalseAlarms.model_validate(found)
    except ArtifactNotFound:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(
            f"expected the analyses of report {report.id!r} in this version's form, got: {error}; evaluate the model "
            "again",
            key=report.key,
        ) from error
