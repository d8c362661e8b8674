"""An external test set: what of it a model may be tested on, and how its labels are counted."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ArtifactCorrupt, DataError
from lesion_core.evaluation.measurement import Scored, measure_scores
from lesion_core.evaluation.pools import Pool, with_pooled_answers
from lesion_core.evaluation.report import ExternalSubject, Malignancy, Metrics, Subject
from lesion_core.isic.external.labels import EXTERNAL_NAME, LEFT_OUT_NAME, ExternalSet
from lesion_core.labels import MALIGNANT, class_index
from lesion_core.lineage.overlap import find_overlap
from lesion_core.progress import ProgressCallback
from lesion_core.refs import ModelRef
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.intervals import OnDrawn, ignore_draws
from lesion_core.stores.protocol import Store

_MALIGNANT = {class_index(name) for name in MALIGNANT}
_FROZEN = "came after the test set was first made; give the larger set another name"
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class External:
    """An external test set as one model is measured on it.

    Attributes:
        subject: What the report says of it.
        left_out: ``isic_id``, ``reason`` and ``detail`` of every image that is not measured, sorted by id.
    """

    subject: ExternalSubject
    left_out: pd.DataFrame = field(repr=False)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Which classes count as one, by their places in ``CLASS_ORDER``."""
        return tuple(tuple(class_index(name) for name in pool) for pool in self.subject.pools)


def is_external(dataset: OpenDataset) -> bool:
    """Return whether a dataset is an external test set."""
    return (dataset.folder / EXTERNAL_NAME).is_file()


def choose_unseen(
    store: Store, model: ModelRef, dataset: OpenDataset, *, cache: Path, on_progress: ProgressCallback
) -> tuple[External, pd.DataFrame]:
    """Return an external test set as one model is measured on it, and the rows that it may be measured on.

    Raises:
        DataError: The model was made from every image of it.
        ArtifactNotFound: As for ``find_overlap``.
        ArtifactCorrupt: What the test set says of itself cannot be read.
    """
    stated = _read(dataset.folder)
    overlap = find_overlap(store, model, dataset, cache=cache, on_progress=on_progress)
    late = dataset.rows.loc[dataset.rows["split"] == QUARANTINED, "isic_id"]
    parts = [
        pd.read_csv(dataset.folder / LEFT_OUT_NAME, dtype=str, keep_default_na=False),
        pd.DataFrame({"isic_id": late, "reason": _FROZEN, "detail": ""}),
        overlap.rows,
    ]
    left_out = pd.concat(parts).sort_values("isic_id", kind="stable", ignore_index=True)
    test = dataset.split("test")
    rows = test[~test["isic_id"].isin(overlap.rows["isic_id"])].reset_index(drop=True)
    if rows.empty:
        named = "; ".join(f"{one.isic_id}: {one.reason}" for one in left_out.head(_MAX_NAMED).itertuples())
        raise DataError(
            f"expected images that {model.id} was not made from in the external test set {stated.name!r}, got none "
            f"among {len(dataset.rows)} ({named}); test a model of other images, or take another set, under another "
            "name",
            model=model.id,
        )
    counts = {str(why): int(n) for why, n in left_out["reason"].value_counts().sort_index().items()}
    subject = ExternalSubject(
        name=stated.name,
        labels=stated.labels,
        n_listed=stated.n_listed,
        left_out=counts,
        not_compared=overlap.not_compared,
    )
    return External(subject, left_out), rows


def measure_external(
    scored: Scored, external: External, subject: Subject, *, temperature: float, on_drawn: OnDrawn = ignore_draws
) -> tuple[Scored, Metrics]:
    """Return what is measured, with pooled answers, and its numbers.

    Malignancy is measured by the answers as they were given, without the images of a pool that holds both malignant
    and other classes: nobody knows which they are.

    Args:
        scored: Truth (a pool's images under its first class), probabilities as served, and groups.
        external: The test set.
        subject: What is evaluated.
        temperature: As for ``measure_scores``.
        on_drawn: As there.
    """
    pools = external.pools
    pooled = replace(scored, probs=with_pooled_answers(scored.probs, pools), pools=pools)
    metrics = measure_scores(pooled, subject, temperature=temperature, on_drawn=on_drawn)
    mixed = [pool for pool in pools if 0 < len(_MALIGNANT.intersection(pool)) < len(pool)]
    if not mixed:
        return pooled, metrics
    certain = ~np.isin(scored.class_index, [pool[0] for pool in mixed])
    return pooled, metrics.model_copy(update={"malignancy": _malignancy(scored, certain, subject, temperature)})


def _malignancy(scored: Scored, certain: np.ndarray, subject: Subject, temperature: float) -> Malignancy:
    if not certain.any():
        unknown = Estimate(value=None)
        return Malignancy(
            sensitivity=unknown,
            specificity=unknown,
            ppv_at_1_percent=None,
            ppv_at_5_percent=None,
            melanoma_sensitivity_at_80_specificity=unknown,
        )
    part = replace(
        scored, class_index=scored.class_index[certain], probs=scored.probs[certain], groups=scored.groups[certain]
    )
    return measure_scores(part, subject, temperature=temperature).malignancy


def _read(folder: Path) -> ExternalSet:
    path = folder / EXTERNAL_NAME
    try:
        return ExternalSet.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactCorrupt(
            f"expected what an external test set says of itself in {path}, got: {error}; prepare it again",
            key=str(path),
        ) from error
