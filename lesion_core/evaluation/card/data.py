"""Who is in the data of a card, and who is missing from it."""

from collections.abc import Iterable, Mapping

from lesion_core.dataset.summary import DatasetSummary
from lesion_core.evaluation.card.content import CardTable, Data
from lesion_core.evaluation.report import Subject
from lesion_core.fields.kinds import UNKNOWN, AnyField, CategoryField
from lesion_core.fields.table import AGE, FIELDS, SEX, SITE
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER

_SPLITS = ("train", "validation", "calibration", "test", "quarantined")


def data_of(subject: Subject, dataset: DatasetSummary) -> Data:
    """Return what a card says of the dataset that a model was measured on."""
    splits = [name for name in _SPLITS if sum(dataset.images.get(name, {}).values())]
    return Data(
        dataset_id=subject.dataset_id,
        dataset_sha256=subject.dataset_sha256,
        images={
            split: {str(name): dataset.images[split].get(str(name), 0) for name in CLASS_ORDER} for split in splits
        },
        missing=dict(sorted(dataset.missing.items())),
        people=_people(dataset),
        absences=tuple(_absences(dataset)),
        licences=dataset.licences,
        attributions=tuple(name for name in dataset.attributions if name.strip() and name != UNKNOWN),
    )


def _counts(dataset: DatasetSummary) -> dict[str, Mapping[str, float]]:
    """Return what is known of each metadata field: quartiles of a number, or images by word."""
    first: dict[str, Mapping[str, float]] = {
        AGE.name: dataset.age_years,
        SEX.name: dataset.sexes,
        SITE.name: dataset.sites,
    }
    return {**first, **dataset.later_fields}


def _people(dataset: DatasetSummary) -> CardTable:
    counts = _counts(dataset)
    rows = [(field.title, _in_words(field, counts.get(field.name, {}))) for field in FIELDS]
    rows.append(("How the diagnosis was made", _listed(dataset.confirm_types)))
    rows.append(("Licences", _listed(dataset.licences)))
    return CardTable(
        title="Who is in the data",
        note="Images of all splits, not people: one person or lesion may have several.",
        header=("", "Images"),
        rows=tuple(rows),
    )


def _in_words(field: AnyField, counts: Mapping[str, float]) -> str:
    if isinstance(field, CategoryField):
        return _listed(counts)
    if not counts:
        return UNKNOWN
    return (
        f"{counts['min']:.0f} to {counts['max']:.0f}, median {counts['median']:.0f}, middle half "
        f"{counts['lower_quartile']:.0f} to {counts['upper_quartile']:.0f} (where known)"
    )


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name.strip() or 'not stated'} {n:,.0f}" for name, n in counts.items()) or UNKNOWN


def _absences(dataset: DatasetSummary) -> Iterable[str]:
    """Yield who is not in the data, or not to be told apart in it."""
    counts = _counts(dataset)
    for field in FIELDS:
        known = {name for name, n in counts.get(field.name, {}).items() if n and name != UNKNOWN}
        if not known:
            yield f"{field.title} is not known of a single image."
        elif isinstance(field, CategoryField) and (absent := [word for word in field.words if word not in known]):
            yield f"No image with {field.noun}: {', '.join(absent)}."
    if ages := dataset.age_years:
        younger = f"younger than {ages['min']:.0f} or " if round(ages["min"]) else ""
        yield f"Nobody known to be {younger}older than {ages['max']:.0f} years."
    if absent := [name for name in CLASS_ORDER if not _n_of_class(dataset, str(name))]:
        yield f"No image of: {', '.join(CLASS_NAMES[name] for name in absent)}."
    yield "Skin tone, ethnicity and country are no part of the data, so who is missing by them cannot be told."
    yield "Only lesions that somebody chose to photograph with a dermatoscope are in the data."
    if dataset.n_synthetic:
        yield f"Images that are generated, of nobody: {dataset.n_synthetic:,}."


def _n_of_class(dataset: DatasetSummary, name: str) -> int:
    return sum(by_class.get(name, 0) for by_class in dataset.images.values())
