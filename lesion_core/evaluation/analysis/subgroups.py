"""How well a model does in parts of a split: by sex, age, site, source, kind of image, confirmation and skin type.

Numbers and intervals of a subgroup are made as those of the whole report are. Of a subgroup below ``MIN_GROUPS``
groups nothing is printed but how large it is. How far subgroups differ is in ``gaps``.
"""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesion_core.archive_fields import SKIN_TYPE, of_today
from lesion_core.errors import DataError
from lesion_core.evaluation.analysis.gaps import N_PERMUTATIONS, Side, measure_gaps
from lesion_core.evaluation.analysis.results import Subgroup, Subgroups, SubgroupScores
from lesion_core.evaluation.measurement import Scored, estimate_all
from lesion_core.fields.kinds import UNKNOWN
from lesion_core.fields.table import AGE, categories
from lesion_core.isic.taxonomy import NOT_STATED, image_type_of
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.progress import ProgressCallback, Tally, ignore_progress

MIN_GROUPS = 20
MAX_VALUES = 12  # of one field; the rarer ones are taken together
_AGE_EDGES = (0, 30, 45, 60, 75)
_AGE_BANDS = ("0-29", "30-44", "45-59", "60-74", "75+")
_MELANOMA = CLASS_ORDER.index(Diagnosis.MEL)


def subgroup_columns(rows: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the subgroups of each row, one text column per field, in the order of ``rows``.

    A missing value is 'unknown'. Of a field with more than ``MAX_VALUES`` values the rarer ones are taken together.

    Args:
        rows: With ``isic_id``.
        manifest: With ``isic_id``, the metadata fields, ``source``, ``confirm_type`` and ``raw_metadata``.

    Raises:
        DataError: An image of ``rows`` is not in the manifest.
    """
    facts = manifest.set_index("isic_id")
    missing = [name for name in rows["isic_id"] if name not in facts.index]
    if missing:
        raise DataError(
            f"expected every image in the manifest, got {len(missing)} others ({', '.join(map(str, missing[:5]))}); "
            "take the manifest of the same dataset"
        )
    facts = facts.loc[rows["isic_id"]].reset_index()
    stated = [of_today(json.loads(text)) for text in facts["raw_metadata"]]
    columns = {field.noun: facts[field.name] for field in categories()}
    columns |= {
        "age": _age_bands(facts[AGE.name]),
        "source": facts["source"],
        "image type": pd.Series([image_type_of(one) for one in stated], dtype=object).replace(NOT_STATED, None),
        "confirmation": facts["confirm_type"],
        "skin type": pd.Series([one.get(SKIN_TYPE) for one in stated], dtype=object),
    }
    return pd.DataFrame({name: _few(_text(values)) for name, values in columns.items()}, index=rows.index)


def _age_bands(ages: pd.Series) -> pd.Series:
    return pd.cut(ages.astype(float), [*_AGE_EDGES, np.inf], right=False, labels=_AGE_BANDS).astype(object)


def _text(values: pd.Series) -> pd.Series:
    return values.map(lambda value: UNKNOWN if pd.isna(value) or not str(value).strip() else str(value).strip())


def _few(values: pd.Series) -> pd.Series:
    counts = values[values != UNKNOWN].value_counts()
    if len(counts) <= MAX_VALUES:
        return values
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")
    rare = set(counts.index[MAX_VALUES - 1 :])
    return values.where(~values.isin(rare), f"{len(rare)} rarer values together")


def measure_subgroups(
    scored: Scored,
    rows: pd.DataFrame,
    *,
    n_bootstrap: int = 1000,
    seed: int = 7,
    n_permutations: int = N_PERMUTATIONS,
    on_progress: ProgressCallback = ignore_progress,
) -> Subgroups:
    """Measure every subgroup and how far it differs from the rest.

    Args:
        scored: Truth, probabilities, groups and class prior.
        rows: As ``subgroup_columns`` returns them: one text column per field, in the order of ``scored``.
        n_bootstrap: Resamples.
        seed: Same seed, same intervals and p-values.
        n_permutations: Of the labels of a field's groups.
        on_progress: Hears of each subgroup, stage 'subgroups'.

    Raises:
        DataError: As many rows as images were expected.
    """
    if len(rows) != len(scored.class_index):
        raise DataError(f"expected the subgroups of {len(scored.class_index)} scored images, got {len(rows)}")
    recorded = {str(name): rows[name].to_numpy(str) for name in rows if (rows[name] != UNKNOWN).any()}
    chosen = [(field, value, of == value) for field, of in recorded.items() for value in _in_order(of)]
    tally, found = Tally(on_progress, "subgroups", len(chosen)), []
    for field, value, members in chosen:
        found.append(_subgroup(scored, field, value, members, n_bootstrap=n_bootstrap, seed=seed))
        tally.add(message=f"{field}: {value}")
    return Subgroups(
        min_groups=MIN_GROUPS,
        n_permutations=n_permutations,
        subgroups=tuple(found),
        gaps=measure_gaps(scored, _sides(scored, recorded), n_permutations=n_permutations, seed=seed),
        not_recorded=tuple(str(name) for name in rows if str(name) not in recorded),
    )


def _in_order(values: np.ndarray) -> list[str]:
    """Return the values, 'unknown' last."""
    return sorted(map(str, np.unique(values)), key=lambda value: (value == UNKNOWN, value))


def _sides(scored: Scored, recorded: Mapping[str, np.ndarray]) -> list[Side]:
    """Return what is compared: each value that has enough groups, as have the others together.

    Of a field with two values one comparison says all.
    """
    sides = []
    for field, values in recorded.items():
        in_order = _in_order(values)
        for value in in_order[: 1 if len(in_order) == 2 else None]:
            side = Side(field, value, values == value)
            if min(side.n_groups(scored)) >= MIN_GROUPS:
                sides.append(side)
    return sides


def _subgroup(
    scored: Scored, field: str, value: str, members: np.ndarray, *, n_bootstrap: int, seed: int
) -> Subgroup:
    part = _part(scored, members)
    n_groups = len(np.unique(part.groups))
    is_large = n_groups >= MIN_GROUPS
    return Subgroup(
        field=field,
        value=value,
        n_images=int(members.sum()),
        n_groups=n_groups,
        n_classes=len(np.unique(part.class_index)),
        scores=_scores(part, n_bootstrap=n_bootstrap, seed=seed) if is_large else None,
        reason=None if is_large else f"{n_groups} groups, at least {MIN_GROUPS} are needed",
    )


def _part(scored: Scored, members: np.ndarray) -> Scored:
    prior = scored.class_prior[members] if scored.class_prior.ndim == 2 else scored.class_prior
    return Scored(scored.class_index[members], scored.probs[members], scored.groups[members], prior)


def _scores(part: Scored, *, n_bootstrap: int, seed: int) -> SubgroupScores:
    found = estimate_all(part, n_bootstrap=n_bootstrap, seed=seed)
    names = (
        *("balanced_accuracy", "malignant_sensitivity", "malignant_specificity", "malignant_auc"),
        "calibration_error",
    )
    return SubgroupScores(
        **{name: found.overall[name] for name in names},
        melanoma_auc=found.by_class[_MELANOMA]["auc"],
    )
