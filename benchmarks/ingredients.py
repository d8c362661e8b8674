"""What each ingredient of a recipe brings: ``python -m benchmarks.ingredients COMPARISON``.

Reads the store that ``LESION_STORE`` names and trains nothing: run the flow 'compare' with the comparison first.
Taken is its newest result. Writes ``docs/results/COMPARISON.json``: for each recipe what was changed in the base, the
score, and the difference to the comparison's reference on the same images, paired by group.
"""

import argparse
import json
import shlex
import sys
from typing import Any

from benchmarks.boards import check_complete, check_reference
from benchmarks.measure import write_result
from lesion_core.comparison.leaderboard import Leaderboard, read_leaderboard
from lesion_core.comparison.page import difference_in_words
from lesion_core.comparison.spec import ComparisonRef
from lesion_core.errors import ArtifactNotFound
from lesion_core.keys import COMPARISONS
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import list_folders, read_file
from lesion_core.stores.open import open_store
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder

HEADER = ["changed", "balanced accuracy", "difference", "better in", "mean AUC", "log loss", "minutes a fold"]


def newest(store: Store, name: str) -> ComparisonRef:
    """Return the newest comparison of a name.

    Raises:
        ArtifactNotFound: There is none.
    """
    found = list(list_folders(store, f"{COMPARISONS}/{name}/"))
    if not found:
        raise ArtifactNotFound(
            f"expected a comparison called {name!r} in {store.url}, found none; run the flow 'compare' with it first",
            key=f"{COMPARISONS}/{name}",
        )
    return ref_from_folder(ComparisonRef, *max(found, key=lambda each: each[1].created))


def result_of(store: Store, ref: ComparisonRef) -> dict[str, Any]:
    """Return what is kept in the docs: the numbers, and the table that a page shows, the reference first.

    Raises:
        DataError: A run ended without a report, or the baseline that was asked for is not the reference.
    """
    board = read_leaderboard(store, ref)
    check_complete(board)
    check_reference(board)
    ordered = sorted(board.entries, key=lambda entry: entry.recipe != board.reference)  # else as ranked
    rows = [
        [
            what_changed(entry.recipe, _description(store, ref, board, entry.recipe)),
            entry.balanced_accuracy.in_words(),
            "the reference" if entry.recipe == board.reference else difference_in_words(entry),
            "" if entry.share_better is None else f"{100 * entry.share_better:.0f} %",
            entry.macro_auc.in_words(),
            entry.log_loss.in_words(),
            f"{entry.training_seconds / 60:.1f}",
        ]
        for entry in ordered
    ]
    return {
        "comparison": ref.id,
        "datasets": list(board.datasets),
        "split": board.split,
        "folds": list(board.folds),
        "n_images": board.n_images,
        "entries": [entry.model_dump(mode="json") for entry in ordered],
        "table": {"header": HEADER, "rows": rows},
    }


def what_changed(name: str, description: str) -> str:
    """Return what a recipe changes in its base, which its description tells: '<base> with <field> = <value>'."""
    base, _, changed = description.partition(" with ")
    return changed if name.startswith(f"{base}-") else f"nothing: {name}"


def _description(store: Store, ref: ComparisonRef, board: Leaderboard, name: str) -> str:
    seed = next(run.seed for run in board.runs if run.recipe == name)
    return str(json.loads(read_file(store, ref, f"recipes/{name}-s{seed}.json"))["description"])


def main() -> None:
    """Read, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", help="name of a comparison that has been run, such as ingredients")
    asked = parser.parse_args()
    store = open_store(LesionSettings())
    command = f"python -m benchmarks.ingredients {shlex.join(sys.argv[1:])}"
    print(write_result(asked.comparison, command, result_of(store, newest(store, asked.comparison))))


if __name__ == "__main__":
    main()
