"""Notes on the quality of a dataset's images, as the page gives them on an upload (``serving.quality``)."""

import hashlib

import numpy as np
import pandas as pd

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.evaluation.cases.facts import fact_of
from lesion_core.images import decode
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.serving.quality import CODES, check_quality
from lesion_core.stores.protocol import Store


def flag_images(
    store: Store,
    facts: pd.DataFrame,
    isic_ids: list[str],
    *,
    size_px: int,
    on_progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Return which notes each image gets, indexed by isic_id: a column of each code, 1.0 or 0.0.

    NaN stands in every column of an image whose file is no longer in the archive. The files themselves are read,
    because sharpness, size and the rim are of the image as it was taken.

    Args:
        store: Where the archive's files are.
        facts: As ``facts.read_facts`` returns it.
        isic_ids: Which images.
        size_px: Side of the model's square input.
        on_progress: Hears of each image.

    Raises:
        ArtifactCorrupt: A file is not the one the dataset was made from.
    """
    flags = np.full((len(isic_ids), len(CODES)), np.nan)
    for row, isic_id in enumerate(isic_ids):
        body = _read(store, fact_of(facts, isic_id))
        if body is not None:
            codes = {note.code for note in check_quality(decode(body, image_id=isic_id), size_px=size_px)}
            flags[row] = [code in codes for code in CODES]
        on_progress(Progress(stage="artefacts", done=row + 1, total=len(isic_ids), message="images checked"))
    return pd.DataFrame(flags, index=pd.Index(isic_ids, name="isic_id"), columns=list(CODES))


def _read(store: Store, fact: pd.Series) -> bytes | None:
    try:
        body = store.read(fact["image_key"])
    except ArtifactNotFound:
        return None
    actual = hashlib.sha256(body).hexdigest()
    if actual != fact["sha256"]:
        raise ArtifactCorrupt(
            f"expected the bytes of {fact.name} that the dataset was made from (sha256 {fact['sha256']}), got "
            f"{actual}; restore {fact['image_key']} from a backup, or ingest it again",
            key=fact["image_key"],
            expected=fact["sha256"],
            actual=actual,
        )
    return body
