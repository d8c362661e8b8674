"""Recipes held against each other."""

from collections.abc import Sequence

from prefect import task

from lesion_core import jobs
from lesion_core.comparison import plan as planning
from lesion_core.comparison.leaderboard import read_leaderboard
from lesion_core.comparison.page import headline_rows, in_words
from lesion_core.comparison.spec import (
    FIGURES,
    SUMMARY_NAME,
    CompareRequest,
    ComparisonJob,
    ComparisonPlan,
    ComparisonRef,
    Outcome,
    Run,
    choose_request,
    comparison_key_of,
    outcome_of,
)
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.stores.folders import read_file
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT


@task(name="plan-comparison", **RETRY_TRANSIENT)
def plan_comparison(choice: CompareRequest | str) -> ComparisonPlan:
    """Settle recipes, datasets and folds, and refuse before any work what cannot or must not be compared."""
    settings = read_settings()
    request = choose_request(choice, settings.comparisons)
    return planning.plan_comparison(request, open_store(), settings)


@task(name="note-outcome", **RETRY_TRANSIENT)
def note_outcome(run: Run, model: ModelRef | Exception, report: ReportRef | Exception) -> Outcome:
    """Return what came of a run, also where it failed: one failure does not lose the others."""
    return outcome_of(run, model, report)


@task(name="publish-comparison", **RETRY_TRANSIENT)
def publish_comparison(plan: ComparisonPlan, outcomes: Sequence[Outcome]) -> ComparisonRef:
    """Measure all runs together in a child process, and show the leaderboard with its figures."""
    job, store = ComparisonJob(request=plan.request, outcomes=tuple(outcomes)), open_store()
    key, settings = comparison_key_of(job), read_settings()
    with publish.progress("comparison-progress", f"{len(job.outcomes)} runs") as on_progress:
        comparison = jobs.run("compare", job, ComparisonRef, key=key, settings=settings, on_progress=on_progress)
    board = read_leaderboard(store, comparison)
    publish.table(publish.LEADERBOARD, headline_rows(board), in_words(board))
    figures = [(heading, read_file(store, comparison, f"figures/{name}.png")) for heading, name in FIGURES]
    text = f"{read_file(store, comparison, SUMMARY_NAME).decode()}\n\n{publish.images_as_markdown(figures)}"
    publish.markdown(publish.COMPARISON, text, f"{comparison.id}: {in_words(board)}")
    return comparison
