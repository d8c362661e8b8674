"""Which figures a report on a dataset has, and what is shown on them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core import figures
from lesion_core.dataset.breakdown import Breakdown, sizes_by_class
from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.splitting.splits import SPLITS
from lesion_core.dataset_report.content import FIELD_NAMES, SAMPLED_SPLIT, DataSummary
from lesion_core.dataset_report.spec import PEOPLE
from lesion_core.fields.kinds import UNKNOWN
from lesion_core.fields.table import AGE, SITE, in_words
from lesion_core.labels import CLASS_ORDER, N_CLASSES

N_SOURCES_NAMED = 12


def write_figures(
    folder: Path, content: DataSummary, manifest: pd.DataFrame, samples: Mapping[int, np.ndarray]
) -> None:
    """Draw every figure of ``data_spec.FIGURES`` as PNG, that of the shortcuts if they were looked for.

    Args:
        folder: Where to.
        content: What is drawn.
        manifest: For the image sizes.
        samples: Position of a class to uint8 (n, s, s, 3).
    """
    summary, counts = content.summary, content.breakdown
    ref = summary.dataset
    line = f"{ref.id}: {ref.n_images:,} images, {ref.n_groups:,} independent groups, licence {ref.licence}"
    subject = figures.Subject(line, ref.synthetic)
    by_split = {split: _by_class(images) for split, images in _ordered(summary.images) if sum(images.values())}
    figures.draw_class_distribution(by_split, folder / "classes.png", subject)
    train = by_split.get(SAMPLED_SPLIT, np.zeros(N_CLASSES, int))
    figures.draw_samples(samples, train, folder / "samples.png", subject)
    images = np.array(counts.images)
    figures.draw_ages(np.array(counts.ages), images, AGE.bin_width, folder / "ages.png", subject)
    people = in_words([*(field.noun for field in PEOPLE), "confirmation", "licence"])
    figures.draw_panels(f"{people[:1].upper()}{people[1:]} by class", _panels(counts), folder / "people.png", subject)
    figures.draw_grid("Sites by class", _site_grid(counts), folder / "sites.png", subject)
    figures.draw_grid("Sources by class", _source_grid(counts), folder / "sources.png", subject)
    figures.draw_grid("Missing values by class", _missing_grid(counts), folder / "missing.png", subject)
    figures.draw_sizes(*sizes_by_class(manifest), folder / "sizes.png", subject)
    if content.shortcuts:
        figures.draw_shortcuts(content.shortcuts, folder / "shortcuts.png", subject)


def _ordered(images: Mapping[str, dict[str, int]]) -> Iterator[tuple[str, dict[str, int]]]:
    return ((split, images[split]) for split in (*SPLITS, QUARANTINED) if split in images)


def _by_class(images: Mapping[str, int]) -> np.ndarray:
    return np.array([images.get(str(name), 0) for name in CLASS_ORDER])


def _panels(counts: Breakdown) -> list[figures.Panel]:
    fields = {field.name: field.title for field in PEOPLE}
    fields |= {"confirm_type": "How the diagnosis was confirmed", "licence": "Licence"}
    return [
        figures.Panel(heading, {value: np.array(by) for value, by in _folded(counts.values[name], 6)}, UNKNOWN)
        for name, heading in fields.items()
    ]


def _folded(values: Mapping[str, tuple[int, ...]], most: int) -> list[tuple[str, np.ndarray]]:
    """Return the values, those beyond the ``most`` first as one, unknown last; empty ones left out."""
    known = [(value, np.array(by)) for value, by in values.items() if value != UNKNOWN and any(by)]
    if len(known) > most:
        rest = known[most - 1 :]
        known = [*known[: most - 1], (f"{len(rest):,} others", np.sum([by for _, by in rest], axis=0))]
    return [*known, (UNKNOWN, np.array(values[UNKNOWN]))] if UNKNOWN in values else known


def _site_grid(counts: Breakdown) -> figures.Grid:
    sites = counts.values["site"]
    columns = [*SITE.words, *([UNKNOWN] if UNKNOWN in sites else [])]
    table = np.array([sites[name] for name in columns]).T
    of = np.repeat(np.array(counts.images)[:, None], len(columns), axis=1)
    return figures.Grid("% of the class, and images", _class_rows(counts), columns, table, of)


def _source_grid(counts: Breakdown) -> figures.Grid:
    sources = _folded(counts.values["attribution"], N_SOURCES_NAMED)
    table = np.array([by for _, by in sources])
    names = figures.name_rows([name.strip() or "not stated" for name, _ in sources], table.sum(axis=1).tolist())
    of = np.repeat(np.array(counts.images)[None, :], len(sources), axis=0)
    return figures.Grid("% of the class that a source gives, and images", names, _class_names(), table, of)


def _missing_grid(counts: Breakdown) -> figures.Grid:
    table = np.array([counts.missing[name] for name in FIELD_NAMES]).T
    with_all = np.vstack([table, table.sum(axis=0)])
    images = np.array([*counts.images, sum(counts.images)])
    of = np.repeat(images[:, None], len(FIELD_NAMES), axis=1)
    rows = [*_class_rows(counts), *figures.name_rows(["all"], [sum(counts.images)])]
    return figures.Grid("% of the class without a value, and images", rows, list(FIELD_NAMES.values()), with_all, of)


def _class_names() -> list[str]:
    return [str(name) for name in CLASS_ORDER]


def _class_rows(counts: Breakdown) -> list[str]:
    return figures.name_rows(_class_names(), counts.images)
