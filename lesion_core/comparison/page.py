"""A leaderboard as tables: rows for a screen, CSV for a spreadsheet, Markdown for people."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lesion_core.comparison.leaderboard import ClassScore, Entry, Leaderboard
from lesion_core.labels import CLASS_ORDER
from lesion_core.markup import Markdown, render_markdown, table
from lesion_core.statistics.measures import LEADERBOARD


def headline_rows(board: Leaderboard) -> list[dict[str, Any]]:
    """Return one row per recipe: what matters most, in words."""
    return [
        {
            "recipe": entry.recipe,
            "balanced accuracy": entry.balanced_accuracy.in_words(),
            "runs": _runs(entry),
            "sd of runs": "–" if entry.spread is None else f"{entry.spread:.3f}",
            "lowest to highest": f"{entry.lowest:.3f} to {entry.highest:.3f}",
            f"against {board.reference}": "the reference" if entry.difference is None else difference_in_words(entry),
            "better in so many resamples": "–" if entry.share_better is None else f"{entry.share_better:.3f}",
            **{one.column: entry.estimate(one).in_words() for one in LEADERBOARD},
            "training minutes": f"{entry.training_seconds / 60:.1f}",
            "parameters": "–" if entry.n_parameters is None else f"{entry.n_parameters:,}",
        }
        for entry in board.entries
    ]


def table_of(board: Leaderboard) -> pd.DataFrame:
    """Return one row per recipe with every number, intervals in columns of their own."""
    return pd.DataFrame([_flat(entry) for entry in board.entries])


def in_words(board: Leaderboard) -> str:
    """Return one line on what was compared."""
    failed = f"; runs that failed: {len(board.failures)}" if board.failures else ""
    folds = [str(fold) for fold in board.folds if fold is not None]
    where = f"fold{'s' if len(folds) > 1 else ''} {', '.join(folds)}" if folds else "the own splits"
    recipes = "recipe" if len(board.entries) == 1 else "recipes"
    lacks = f"; baseline {board.baseline} has no report, {board.reference} stands in for it"
    instead = lacks if board.baseline not in ("", board.reference) else ""
    return (
        f"{board.name}: {len(board.entries)} {recipes} on {board.n_images:,} {board.split} images "
        f"({board.n_groups:,} groups) of {where} of {', '.join(board.datasets)}{failed}{instead}"
    )


def write_summary(board: Leaderboard) -> str:
    """Return the comparison as Markdown, without its figures."""
    return render_markdown(
        "lesion_core",
        "comparison",
        synthetic=board.synthetic,
        description=board.description,
        compared=in_words(board),
        chance=board.chance,
        headline=_table(headline_rows(board)),
        reading=_reading(board),
        classes=_table(_class_rows(board)),
        failures=[f"{_where(each.recipe, each.seed, each.fold)}: {each.reason}" for each in board.failures],
    )


def _reading(board: Leaderboard) -> str:
    chosen = {
        "calibration": " These images chose no epoch, but each model's temperature was fitted on them, one number, "
        "and by this table recipes are chosen on them: the best number is a little too high.",
        "validation": " Epochs and, by this table, recipes are chosen on these images, so the best number is too "
        "high, and long trainings are favoured.",
    }.get(board.split, "")
    return (
        "Balanced accuracy is the mean over the folds. Intervals are 95 %, from "
        f"{board.n_bootstrap:,} resamples of whole groups: of balanced accuracy and of differences within each fold, "
        "the same for every recipe; of the other numbers in all folds of a recipe together, or by formula "
        "where a class has few groups. They tell what other patients would do. What another seed or fold does is the "
        "spread of the runs. The intervals of the differences hold all together with 95 %, those of "
        f"other numbers each by itself.{chosen}"
    )


def _class_rows(board: Leaderboard) -> list[dict[str, Any]]:
    return [
        {"recipe": entry.recipe, **{str(one.diagnosis): _sensitivity(one) for one in entry.classes}}
        for entry in board.entries
    ]


def _sensitivity(one: ClassScore) -> str:
    if one.sensitivity.value is None:
        return "–"
    return f"{one.sensitivity.value:.2f}" + ("" if one.auc.value is None else f" ({one.auc.value:.3f})")


def _flat(entry: Entry) -> dict[str, Any]:
    estimates = {
        "balanced_accuracy": entry.balanced_accuracy,
        "difference": entry.difference,
        **{one.name: entry.estimate(one) for one in LEADERBOARD},
        **{f"sensitivity_{CLASS_ORDER[i]}": one.sensitivity for i, one in enumerate(entry.classes)},
        **{f"auc_{CLASS_ORDER[i]}": one.auc for i, one in enumerate(entry.classes)},
    }
    row: dict[str, Any] = {
        "recipe": entry.recipe,
        "n_runs": entry.n_runs,
        "n_planned": entry.n_planned,
        "spread": entry.spread,
        "lowest": entry.lowest,
        "highest": entry.highest,
        "share_better": entry.share_better,
        "training_seconds": entry.training_seconds,
        "n_parameters": entry.n_parameters,
    }
    for name, one in estimates.items():
        row[name] = one.value if one else None
        row[f"{name}_low"] = one.low if one else None
        row[f"{name}_high"] = one.high if one else None
    return row


def _runs(entry: Entry) -> str:
    return str(entry.n_runs) if entry.n_runs == entry.n_planned else f"{entry.n_runs} of {entry.n_planned}"


def difference_in_words(entry: Entry) -> str:
    """Return '+0.021 (-0.004 to +0.045)', what a recipe other than the reference scores more than that."""
    found = entry.difference
    if found is None or found.value is None:
        return "no fold in common"
    interval = "" if found.low is None or found.high is None else f" ({found.low:+.3f} to {found.high:+.3f})"
    return f"{found.value:+.3f}{interval}"


def _where(recipe: str, seed: int, fold: int | None) -> str:
    return f"{recipe}, seed {seed}" + ("" if fold is None else f", fold {fold}")


def _table(rows: Sequence[dict[str, Any]]) -> Markdown:
    return table(tuple(rows[0]), [tuple(row.values()) for row in rows])
