"""A bounded search on real images, through the flow: python -m benchmarks.tune [N_TRIALS].

It asks for a Prefect server (PREFECT_API_URL) with the limits of ``lesion deploy``, and for a store (LESION_STORE)
with a dataset of the name and size that the recipe isic-search asks for. Only validation images are looked at.
"""

import io
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measure import RESULTS, write_result
from flows.tune import tune_flow
from lesion_core.search import study_output
from lesion_core.search.study import StudySpec
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import read_file
from lesion_core.stores.open import open_store

RECIPE = "isic-search"
IMAGES = RESULTS.parent / "images"


def main(n_trials: int) -> None:
    """Run the study, write docs/results/tune.json and the images of docs/tune.md."""
    spec = StudySpec(n_trials=n_trials, min_epochs=3, startup_trials=5)
    started = time.monotonic()
    found = tune_flow(recipe=RECIPE, study=spec)
    minutes = (time.monotonic() - started) / 60
    store = open_store(LesionSettings())
    trials = pd.read_csv(io.BytesIO(read_file(store, found, study_output.TABLE_NAME)), keep_default_na=False)
    for name in ("history", "epochs", "importance", "parallel"):
        (IMAGES / f"tune-{name}.png").write_bytes(read_file(store, found, f"figures/{name}.png"))
    result = {
        "study": found.model_dump(mode="json"),
        "spec": spec.model_dump(mode="json"),
        "minutes": minutes,
        "trials": trials.to_dict(orient="records"),
        "best_recipe": read_file(store, found, study_output.BEST_NAME).decode(),
        "table": _table(trials, minutes),
    }
    print(write_result("tune", f"python -m benchmarks.tune {n_trials}", result), found.id)
    (Path(LesionSettings().work) / study_output.BEST_NAME).write_text(result["best_recipe"], encoding="utf-8")


def _table(trials: pd.DataFrame, minutes: float) -> dict[str, Any]:
    """Return one row for each trial, the best first, then those that were given up."""
    scores = pd.to_numeric(trials["score"])
    ranked = trials.assign(rank=scores).sort_values(["rank", "trial"], ascending=[False, True], na_position="last")
    rows = [
        [
            str(row["trial"]) + (" (the recipe)" if str(row["note"]).startswith("base") else ""),
            row["state"],
            "" if pd.isna(row["rank"]) else f"{row['rank']:.3f}",
            str(row["epochs"]),
            f"{float(row['seconds']):.0f}",
        ]
        for _, row in ranked.iterrows()
    ]
    total = f"{(trials['state'] == 'pruned').sum()} of {len(trials)} pruned"
    rows.append(["all", total, "", str(trials["epochs"].sum()), f"{60 * minutes:.0f}"])
    return {"header": ["trial", "state", "validation balanced accuracy", "epochs", "seconds"], "rows": rows}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
