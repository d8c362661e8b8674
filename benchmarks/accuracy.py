"""What a recipe reaches over its folds: ``python -m benchmarks.accuracy RECIPE``.

Reads the store that ``LESION_STORE`` names and trains nothing. Taken is the newest comparison on test splits that has
the recipe, the one that ``--comparison`` names, or the reports that ``--report`` names, one for each fold. Writes
``docs/results/RECIPE-folds.json``: the mean over the folds with its group interval, the eight sensitivities, the
areas under the curves, melanoma's sensitivity at 0.80 specificity, minutes of training, and who had looked at these
test images before.
"""

import argparse
import json
import shlex
import sys
from typing import Any

from benchmarks.boards import check_complete
from benchmarks.measure import write_result
from lesion_core.comparison import job as comparison_job
from lesion_core.comparison.leaderboard import Entry, Leaderboard, read_leaderboard
from lesion_core.comparison.spec import CompareRequest, ComparisonJob, ComparisonRef, Outcome, Run
from lesion_core.errors import ArtifactNotFound
from lesion_core.evaluation.test_access import read_accesses
from lesion_core.keys import COMPARISONS
from lesion_core.labels import CLASS_NAMES
from lesion_core.progress import ignore_progress
from lesion_core.recipes.recipe import parse_recipe
from lesion_core.refs import ReportRef
from lesion_core.settings import LesionSettings
from lesion_core.statistics.estimates import Estimate
from lesion_core.stores.folders import list_folders, read_file
from lesion_core.stores.open import open_store
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import get_reference, ref_from_folder


def newest_board(store: Store, recipe: str) -> tuple[str, Leaderboard]:
    """Return id and numbers of the newest comparison on test splits that has the recipe.

    Raises:
        ArtifactNotFound: There is none.
    """
    found = []
    for key, index, sha256 in list_folders(store, f"{COMPARISONS}/"):
        if index.summary.get("split") == "test":
            board = read_leaderboard(store, ref_from_folder(ComparisonRef, key, index, sha256))
            if any(entry.recipe == recipe for entry in board.entries):
                found.append((index.created, key, board))
    if not found:
        raise ArtifactNotFound(
            f"expected a comparison on test splits with recipe {recipe!r} in {store.url}, found none; run the flow "
            "'compare' with split 'test' first",
            key=COMPARISONS,
        )
    _, key, board = max(found, key=lambda each: each[:2])
    return key.partition("/")[2], board


def board_of_reports(
    store: Store, recipe: str, report_ids: list[str], settings: LesionSettings
) -> tuple[str, Leaderboard]:
    """Put the reports of one recipe's folds together as a comparison, and return its id and numbers."""
    reports = [get_reference(store, ReportRef, "reports", report_id) for report_id in report_ids]
    outcomes = tuple(Outcome(run=_run_of(store, report), model=report.model, report=report) for report in reports)
    folds = tuple(sorted({each.run.fold for each in outcomes if each.run.fold is not None}))
    request = CompareRequest(name=f"{recipe}-folds", recipes=(recipe,), folds=folds, split="test")
    job = ComparisonJob(request=request, outcomes=outcomes)
    ref = comparison_job.run(
        job.model_dump(mode="json"), store=store, workdir=settings.work, on_progress=ignore_progress
    )
    return ref.id, read_leaderboard(store, ref)


def _run_of(store: Store, report: ReportRef) -> Run:
    recipe = parse_recipe(json.loads(read_file(store, report.model, "recipe.json")), source=report.model.id)
    return Run(recipe=recipe, dataset=report.dataset, fold=report.model.fold)


def result_of(store: Store, comparison_id: str, board: Leaderboard, recipe: str) -> dict[str, Any]:
    """Return what is kept in the docs: numbers, looks, and the table that a page shows.

    Raises:
        DataError: A run of the recipe ended without a report.
    """
    check_complete(board, recipe)
    entry = next(each for each in board.entries if each.recipe == recipe)
    runs = [run for run in board.runs if run.recipe == recipe]
    looks = [
        look_counts(store, board, fold, recipe) for fold in sorted({run.fold for run in runs if run.fold is not None})
    ]
    return {
        "comparison": comparison_id,
        "datasets": list(board.datasets),
        "split": board.split,
        "entry": entry.model_dump(mode="json"),
        "runs": [run.model_dump(mode="json") for run in runs],
        "looks": looks,
        "table": {"header": ["measure", "value", "95 % interval"], "rows": _rows(board, entry, looks)},
    }


def look_counts(store: Store, board: Leaderboard, fold: int, recipe: str) -> dict[str, Any]:
    """Return how many models of the recipe, and of any, have been measured on a fold's test images by now."""
    names = {dataset.partition("/")[0] for dataset in board.datasets}
    looks = [look for name in names for look in read_accesses(store, name, f"fold.{fold}")]
    return {
        "fold": fold,
        "models_of_recipe": len({look.model_id for look in looks if look.recipe == recipe}),
        "models_of_any_recipe": len({look.model_id for look in looks}),
    }


def _rows(board: Leaderboard, entry: Entry, looks: list[dict[str, Any]]) -> list[list[str]]:
    folds = ", ".join(str(fold) for fold in board.folds if fold is not None)
    minutes = [run.training.seconds / 60 for run in board.runs if run.recipe == entry.recipe]
    return [
        _row(
            f"balanced accuracy, mean of folds {folds} ({board.n_images:,} {board.split} images)",
            entry.balanced_accuracy,
        ),
        ["lowest and highest fold", f"{entry.lowest:.3f}, {entry.highest:.3f}", ""],
        _row("mean AUC, one class against the rest", entry.macro_auc),
        _row("melanoma sensitivity at 0.80 specificity", entry.melanoma_sensitivity_at_80_specificity),
        *(
            _row(f"sensitivity, {CLASS_NAMES[one.diagnosis]} ({one.n_images:,} images)", one.sensitivity)
            for one in entry.classes
        ),
        *(_row(f"AUC, {CLASS_NAMES[one.diagnosis]}", one.auc) for one in entry.classes),
        _row("Brier score (0 to 2, lower is better)", entry.brier),
        [
            "minutes of training per fold, mean and longest",
            f"{entry.training_seconds / 60:.1f}, {max(minutes):.1f}",
            "",
        ],
        ["models of this recipe measured on a fold's test images so far", _most(looks, "models_of_recipe"), ""],
        ["models of any recipe measured on them", _most(looks, "models_of_any_recipe"), ""],
    ]


def _row(name: str, estimate: Estimate) -> list[str]:
    return [name, "not known" if estimate.value is None else f"{estimate.value:.3f}", estimate.interval_in_words()]


def _most(looks: list[dict[str, Any]], name: str) -> str:
    counts = [look[name] for look in looks]
    return ", ".join(f"{count} (fold {look['fold']})" for count, look in zip(counts, looks, strict=True)) or "none"


def main() -> None:
    """Read, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--comparison", help="id of a comparison, such as isic-cpu-folds/0123456789ab")
    parser.add_argument("--report", action="append", default=[], help="id of a report; repeat it for each fold")
    asked = parser.parse_args()
    settings = LesionSettings()
    store = open_store(settings)
    if asked.report:
        found = board_of_reports(store, asked.recipe, asked.report, settings)
    elif asked.comparison:
        found = asked.comparison, read_leaderboard(store, f"{COMPARISONS}/{asked.comparison}")
    else:
        found = newest_board(store, asked.recipe)
    command = f"python -m benchmarks.accuracy {shlex.join(sys.argv[1:])}"
    print(write_result(f"{asked.recipe}-folds", command, result_of(store, *found, asked.recipe)))


if __name__ == "__main__":
    main()
