"""Where the errors of the malignant decision cluster: sites, ages, sources, artefacts that are over-represented.

Within one true class, errors (malignant called not malignant, or the reverse) are set against right decisions: for
each value of each fact a table of two by two, one count per group, and Fisher's exact test of "more often" (Fisher
1935, "The Design of Experiments"). All tests of a report together are corrected for the false discovery rate
(Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x). An association is not a cause: a source may
stand for a camera, an age for a form of the disease.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.stats import false_discovery_control, fisher_exact
from scipy.stats.contingency import odds_ratio

from lesion_core.errors import DataError
from lesion_core.fields.kinds import NumberField
from lesion_core.fields.table import FIELDS
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, MALIGNANT, Diagnosis
from lesion_core.types import Value

MIN_GROUPS = 20  # with the value, and with another value: below, nothing is said
LEVEL = 0.05  # of the false discovery rate
NOT_RECORDED = "not recorded"
_BINS_OF_A_BAND = 4
_MALIGNANT = np.array([CLASS_ORDER.index(name) for name in MALIGNANT])
# How a value of a fact reads after 'more often'; a field of the table that is not here reads as its noun and value.
_PHRASES: Mapping[str, str] = {
    "age_years": "in the age band '{}'",
    "sex": "where the sex is {}",
    "site": "at the site {}",
    "source": "in images of {}",
    "image_kind": "in images of the type {}",
    "confirm_type": "where the diagnosis was confirmed by {}",
    "artefact": "in images with the note '{}'",
}


class ErrorCluster(Value):
    """One value that is over-represented among the errors of one true class."""

    diagnosis: Diagnosis
    fact: str = Field(description="'site', 'source', 'artefact' …")
    value: str
    n_errors: int = Field(ge=0, description="Groups with the value whose decision is wrong")
    n_groups: int = Field(ge=MIN_GROUPS, description="Groups with the value")
    n_errors_elsewhere: int = Field(ge=0)
    n_groups_elsewhere: int = Field(ge=MIN_GROUPS)
    odds_ratio: float | None = Field(description="Conditional maximum likelihood; none: infinite")
    odds_ratio_low: float | None = Field(description="Lower end of the exact 95 % interval")
    odds_ratio_high: float | None = Field(description="Upper end; none: infinite")
    p: float = Field(ge=0, le=1, description="Fisher's exact test, one-sided")
    p_adjusted: float = Field(ge=0, le=1, description="Corrected for the false discovery rate")

    def in_words(self) -> str:
        """Return 'Melanoma is missed more often at the site head/neck (12 of 20 groups against 30 of 110).'."""
        event = "is missed" if self.diagnosis in MALIGNANT else "is called malignant"
        where = _PHRASES.get(self.fact, f"where {self.fact} is {{}}").format(self.value)
        return (
            f"{CLASS_NAMES[self.diagnosis]} {event} more often {where} ({self.n_errors} of {self.n_groups} groups "
            f"against {self.n_errors_elsewhere} of {self.n_groups_elsewhere})."
        )


class ErrorClusters(Value):
    """What was found, and out of how many comparisons."""

    clusters: tuple[ErrorCluster, ...] = Field(description="Smallest corrected p first")
    n_tests: int = Field(ge=0)
    n_too_small: int = Field(ge=0, description="Values that were not tested, with fewer groups than are asked for")

    def in_words(self) -> str:
        """Say what was found, one sentence a cluster."""
        if not self.n_tests:
            return f"No value has {MIN_GROUPS} groups with it and {MIN_GROUPS} without: nothing was compared."
        told = " ".join(one.in_words() for one in self.clusters)
        rate = f"false discovery rate {LEVEL:.0%}".replace("%", " %")
        return f"{told or 'No cluster of errors was found.'} {self.n_tests} values were compared, {rate}."


@dataclass(frozen=True, slots=True)
class _Table:
    diagnosis: Diagnosis
    fact: str
    value: str
    counts: np.ndarray  # int (2, 2): with the value and elsewhere in rows; wrong and right in columns


def find_error_clusters(
    predictions: pd.DataFrame, facts: pd.DataFrame, artefacts: pd.DataFrame | None = None
) -> ErrorClusters:
    """Return which values are over-represented among the errors of the malignant decision.

    A group counts once for each true class among its images: as an error where at least half of its images of the
    class are decided wrongly, with the value that most of them have (of several, the first in order). Artefacts are
    notes on an image, so each note is compared by itself; a group has one where most of its images do.

    Args:
        predictions: As ``predictions.table_of_predictions`` makes it.
        facts: As ``facts.read_facts`` returns it.
        artefacts: As ``artefacts.flag_images`` returns it; ``None``: they were not looked for.

    Raises:
        DataError: An image is not among the facts.
    """
    if not predictions["isic_id"].isin(facts.index).all():
        raise DataError("expected facts of every predicted image, found some missing; read those of its dataset")
    tables = list(_tables(predictions, facts, artefacts))
    large = [one for one in tables if one.counts.sum(axis=1).min() >= MIN_GROUPS]
    if not large:
        return ErrorClusters(clusters=(), n_tests=0, n_too_small=len(tables))
    p = np.array([fisher_exact(one.counts, alternative="greater").pvalue for one in large]).clip(0, 1)
    adjusted = false_discovery_control(p)
    found = [_cluster(large[place], p[place], adjusted[place]) for place in np.flatnonzero(adjusted <= LEVEL)]
    clusters = tuple(sorted(found, key=lambda one: (one.p_adjusted, one.p, one.diagnosis, one.fact, one.value)))
    return ErrorClusters(clusters=clusters, n_tests=len(large), n_too_small=len(tables) - len(large))


def band_of(field: NumberField, value: float) -> str:
    """Return the band of a number: '40 to 59 years', 'from 80 years on', or 'not recorded' for NaN.

    A band is four of the bins that a report on a dataset counts in.
    """
    if np.isnan(value):
        return NOT_RECORDED
    width = _BINS_OF_A_BAND * field.bin_width
    last = field.last_bin // width * width
    low = min(int(value) // width * width, last)
    return f"from {low} {field.unit} on" if low == last else f"{low} to {low + width - 1} {field.unit}"


def _tables(predictions: pd.DataFrame, facts: pd.DataFrame, artefacts: pd.DataFrame | None) -> Iterator[_Table]:
    true, predicted = (predictions[name].to_numpy(np.int64) for name in ("class_index", "predicted_index"))
    wrong = np.isin(true, _MALIGNANT) != np.isin(predicted, _MALIGNANT)
    images = _values(facts.loc[predictions["isic_id"]]).assign(group=predictions["group"].to_numpy(), wrong=wrong)
    notes = None if artefacts is None else artefacts.reindex(images.index)
    for place in np.unique(true):
        own = images[true == place]
        is_wrong = own.groupby("group")["wrong"].mean() >= 0.5
        for fact in own.columns.drop(["group", "wrong"]):
            yield from _of_values(CLASS_ORDER[place], fact, _most_frequent(own["group"], own[fact]), is_wrong)
        if notes is not None:
            yield from _of_notes(CLASS_ORDER[place], notes[true == place], own["group"], is_wrong)


def _of_values(diagnosis: Diagnosis, fact: str, values: pd.Series, is_wrong: pd.Series) -> Iterator[_Table]:
    for value in sorted(set(values)) if values.nunique() > 1 else ():
        yield _Table(diagnosis, fact, value, _counts(values == value, is_wrong))


def _of_notes(diagnosis: Diagnosis, notes: pd.DataFrame, groups: pd.Series, is_wrong: pd.Series) -> Iterator[_Table]:
    for note in notes.columns:
        looked_at = notes[note].notna().to_numpy()
        shares = notes.loc[looked_at, note].astype(float).groupby(groups[looked_at].to_numpy()).mean()
        if len(shares):
            yield _Table(diagnosis, "artefact", str(note), _counts(shares > 0.5, is_wrong[shares.index]))


def _values(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the facts that are compared, as text."""
    columns = {}
    for field in FIELDS:
        column = facts[field.name]
        if isinstance(field, NumberField):
            columns[field.name] = pd.Series([band_of(field, value) for value in column.astype(float)], column.index)
        else:
            columns[field.name] = _recorded(column)
    for name in ("source", "image_kind", "confirm_type"):
        columns[name] = _recorded(facts[name])
    return pd.DataFrame(columns).astype(str)


def _recorded(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), NOT_RECORDED)


def _most_frequent(groups: pd.Series, values: pd.Series) -> pd.Series:
    """Return the value that most images of each group have, of several the first in order; sorted by group."""
    counted = pd.DataFrame({"group": groups, "value": values}).value_counts().rename("n").reset_index()
    ordered = counted.sort_values(["group", "n", "value"], ascending=[True, False, True])
    return ordered.drop_duplicates("group").set_index("group")["value"]


def _counts(has_value: pd.Series, is_wrong: pd.Series) -> np.ndarray:
    inside, wrong = has_value.to_numpy(bool), is_wrong.to_numpy(bool)
    return np.array(
        [[(inside & wrong).sum(), (inside & ~wrong).sum()], [(~inside & wrong).sum(), (~inside & ~wrong).sum()]]
    )


def _cluster(table: _Table, p: float, p_adjusted: float) -> ErrorCluster:
    ratio = odds_ratio(table.counts, kind="conditional")
    interval = ratio.confidence_interval(0.95)
    (n_errors, _), (n_elsewhere, _) = table.counts.tolist()
    n_groups, n_groups_elsewhere = table.counts.sum(axis=1).tolist()
    return ErrorCluster(
        diagnosis=table.diagnosis,
        fact=table.fact,
        value=table.value,
        n_errors=n_errors,
        n_groups=n_groups,
        n_errors_elsewhere=n_elsewhere,
        n_groups_elsewhere=n_groups_elsewhere,
        odds_ratio=_finite(ratio.statistic),
        odds_ratio_low=_finite(interval.low),
        odds_ratio_high=_finite(interval.high),
        p=float(p),
        p_adjusted=float(p_adjusted),
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
