"""What is said of a dataset: the report's numbers, tables and remarks, whoever lays them out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from lesion_core.dataset.breakdown import Breakdown
from lesion_core.dataset.proof.certificate import Shortcut
from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.proof.shortcuts import ALL, ASPECT, BORDER, CONFIRMATION, LENGTH, MISSING, SIZE, SOURCE
from lesion_core.dataset.splitting.splits import SPLITS
from lesion_core.dataset.summary import DatasetSummary
from lesion_core.fields.kinds import UNKNOWN
from lesion_core.fields.table import FIELDS
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, Diagnosis
from lesion_core.types import Value

SAMPLED_SPLIT = "train"
CONFIRMED = "histopathology"
_VALUES_SHOWN = 5
FIELD_NAMES: Mapping[str, str] = {
    **{field.name: field.noun for field in FIELDS},
    "lesion_id": "lesion id",
    "patient_id": "patient id",
    "confirm_type": "confirmation",
}

_CONSEQUENCES: Mapping[str, str] = {
    SIZE: "So every image is scaled to one square, and size is never an input.",
    ASPECT: "It is never an input, but an image that was stretched to a square may show it.",
    LENGTH: "It is never an input, but it follows detail and compression, which a network sees.",
    BORDER: "The border is in the image: a network may look there instead of at the lesion.",
    SOURCE: "A network may recognise a source by its light, its colours and its framing.",
    MISSING: "A network that takes metadata knows what is unknown, and may use that.",
    CONFIRMATION: "So the labels of some classes are surer than those of others.",
    ALL: "As much can be reached without a look at the lesion.",
}


class DataSummary(Value):
    """Content of a report's ``summary.json``: every number on its page."""

    summary: DatasetSummary
    breakdown: Breakdown
    shortcuts: tuple[Shortcut, ...] = Field(description="As in the certificate; empty where it has none")
    samples: dict[str, tuple[str, ...]] = Field(description="Ids of the images shown, by class")
    seed: int = Field(ge=0, description="Of the samples")


@dataclass(frozen=True, slots=True)
class TextTable:
    """A small table; cells are text as it came, unescaped."""

    heading: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(content: DataSummary) -> tuple[TextTable, ...]:
    """Return the report's tables: classes by split, licences, sources, confirmation, gaps, shortcuts."""
    summary, counts = content.summary, content.breakdown
    values = counts.values
    return (
        _classes(summary),
        _shares("Licences", "licence", values["licence"]),
        _credits(counts),
        _shares("How the diagnosis was confirmed", "recorded as", values["confirm_type"]),
        _missing(counts),
        shortcut_table(content.shortcuts),
    )


def _classes(summary: DatasetSummary) -> TextTable:
    splits = [name for name in (*SPLITS, QUARANTINED) if sum(summary.images.get(name, {}).values())]
    rows = [
        (f"{CLASS_NAMES[name]} ({name})", *_with_sum([summary.images[split].get(str(name), 0) for split in splits]))
        for name in CLASS_ORDER
    ]
    totals = ("all", *_with_sum([sum(summary.images[split].values()) for split in splits]))
    groups = ("independent groups", *_with_sum([summary.groups.get(split, 0) for split in splits]))
    return TextTable("Images by class and split", ("class", *splits, "all"), (*rows, totals, groups))


def _with_sum(counts: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{count:,}" for count in (*counts, sum(counts)))


def _shares(heading: str, column: str, values: Mapping[str, Sequence[int]]) -> TextTable:
    n_images = sum(sum(by) for by in values.values())
    rows = [
        (value.strip() or "not stated", f"{sum(by):,}", percent(sum(by), n_images))
        for value, by in values.items()
        if sum(by)
    ]
    return TextTable(heading, (column, "images", "share"), tuple(rows))


def _credits(counts: Breakdown) -> TextTable:
    n_images = sum(counts.images)
    rows = [
        (one.attribution.strip() or "not stated", one.licence, f"{one.n_images:,}", percent(one.n_images, n_images))
        for one in counts.credits
    ]
    return TextTable("Whom to credit", ("attribution", "licence", "images", "share"), tuple(rows))


def _missing(counts: Breakdown) -> TextTable:
    names = [str(name) for name in CLASS_ORDER]
    rows = [
        (
            words,
            *(percent(n, of) for n, of in zip(counts.missing[field], counts.images, strict=True)),
            _overall(counts, field),
        )
        for field, words in FIELD_NAMES.items()
    ]
    return TextTable("Images without a value", ("field", *names, "all"), tuple(rows))


def _overall(counts: Breakdown, field: str) -> str:
    return percent(sum(counts.missing[field]), sum(counts.images))


def shortcut_table(shortcuts: Sequence[Shortcut]) -> TextTable:
    """Return what a certificate's audit found, as a table; without rows where it has none."""
    rows = [
        (
            one.features,
            *(f"{score:.3f}" for score in (one.balanced_accuracy, one.chance, one.shuffled_best)),
            "yes" if one.is_telling else "no",
            f"{one.n_images:,}",
        )
        for one in shortcuts
    ]
    header = ("what is seen", "balanced accuracy", "chance", "best of the shuffles", "telling", "images")
    return TextTable("What tells the class without a look at the lesion", header, tuple(rows))


def remarks_on(content: DataSummary) -> tuple[str, ...]:
    """Return what a reader must know before trusting a number made from this dataset, in sentences."""
    return tuple(_remarks(content.summary, content.breakdown, content.shortcuts))


def _remarks(summary: DatasetSummary, counts: Breakdown, shortcuts: Sequence[Shortcut]) -> Iterator[str]:
    if summary.n_synthetic:
        yield (
            f"{summary.n_synthetic:,} of {sum(counts.images):,} images are generated; no number here has a clinical "
            "meaning."
        )
    n_altered = counts.manipulations.get("altered", 0)
    if n_altered:
        yield f"{n_altered:,} of {sum(counts.images):,} images are recorded as altered after they were taken."
    if summary.absent_classes:
        yield f"No image at all of: {_named(summary.absent_classes)}."
    for split, classes in summary.absent_by_split.items():
        only_here = [name for name in classes if name not in summary.absent_classes]
        if only_here and split in SPLITS:
            yield f"No image in the split {split} of: {_named(only_here)}."
    yield from (
        f"From {one.features} the class can be determined: balanced accuracy {one.balanced_accuracy:.3f}; chance "
        f"{one.chance:.3f}, best of {one.n_shuffles} shuffles {one.shuffled_best:.3f}. {_CONSEQUENCES[one.features]}"
        for one in shortcuts
        if one.is_telling
    )
    yield from _narrow_sources(counts)
    n_images = sum(counts.images)
    n_confirmed = sum(counts.values["confirm_type"].get(CONFIRMED, ()))
    yield (
        f"{n_confirmed:,} of {n_images:,} diagnoses ({percent(n_confirmed, n_images)}) are recorded as confirmed by "
        "histopathology."
    )
    n_alone = sum(counts.missing["lesion_id"])
    if n_alone:
        yield (
            f"{n_alone:,} images ({percent(n_alone, n_images)}) name no lesion: each stands for itself unless a "
            "near-duplicate joins it, so some lesions may be counted twice."
        )
    yield from _placeholders(counts)
    if summary.n_quarantined:
        yield (
            f"{summary.n_quarantined:,} images are quarantined, because new evidence joins two splits in them; "
            "they are in no split, and in every count by class here."
        )
    yield "Skin tone is not recorded, so whether all tones are there is not known."


def _placeholders(counts: Breakdown) -> Iterator[str]:
    for field, values in counts.placeholders.items():
        if values:
            shown = ", ".join(repr(value) for value in list(values)[:_VALUES_SHOWN])
            more = ", …" if len(values) > _VALUES_SHOWN else ""
            yield (
                f"In {sum(values.values()):,} images the {FIELD_NAMES[field]} is a placeholder ({shown}{more}). It "
                "joins them to nothing, so images of one patient or lesion may be in several splits."
            )


def _narrow_sources(counts: Breakdown) -> Iterator[str]:
    present = [name for name, n in zip(CLASS_ORDER, counts.images, strict=True) if n]
    for source, by in counts.values["attribution"].items():
        held = [name for name, n in zip(CLASS_ORDER, by, strict=True) if n]
        if source != UNKNOWN and len(held) < len(present):
            yield f"{source.strip() or 'An unnamed source'} gives {sum(by):,} images, of {', '.join(held)} only."


def _named(classes: Sequence[str]) -> str:
    return ", ".join(f"{CLASS_NAMES[Diagnosis(name)]} ({name})" for name in classes)


def percent(part: int, whole: int) -> str:
    """Return a share in percent; '–' where there is nothing to share."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
