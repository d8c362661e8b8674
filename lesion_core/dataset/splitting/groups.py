"""Groups: images that may show the same skin, and so must share a split.

Two images are in one group if a chain of shared evidence joins them: patient, lesion, identical bytes, or a
near-duplicate pair. A missing id joins nothing.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

EVIDENCE = ("patient_id", "lesion_id", "sha256")


def group_images(images: pd.DataFrame, near_duplicates: Iterable[tuple[str, str]] = ()) -> pd.Series:
    """Return each image's group, named after the smallest ``isic_id`` in it.

    Args:
        images: Columns ``isic_id`` (unique), ``patient_id``, ``lesion_id`` (null where unknown), ``sha256``.
        near_duplicates: Pairs of ``isic_id``; both must be in ``images``.

    Returns:
        Strings, index as in ``images``. The order of rows and pairs does not matter.

    Raises:
        KeyError: A pair names an image that is not in ``images``.
    """
    position = {isic_id: number for number, isic_id in enumerate(images["isic_id"])}
    links = [(position[one], position[other]) for one, other in near_duplicates]
    for column in EVIDENCE:
        links.extend(_links(images[column]))
    ends = np.array(links, dtype=np.int64).reshape(-1, 2)
    size = len(images)
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(size, size))
    number = pd.Series(connected_components(graph, directed=False)[1], index=images.index)
    return images["isic_id"].astype(str).groupby(number).transform("min").rename("group")


def _links(values: pd.Series) -> Iterable[tuple[int, int]]:
    """Yield a link from the first row with a value to each other row with it."""
    first: dict[str, int] = {}
    for row, value in enumerate(values):
        if not pd.isna(value):
            anchor = first.setdefault(str(value), row)
            if anchor != row:
                yield anchor, row
