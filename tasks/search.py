"""A search over a recipe's space: every trial a task run of its own, in a child process that owns TensorFlow."""

from prefect import task

from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, StudyRef
from lesion_core.search import course, study, study_output
from lesion_core.search.study import StudyPlan, StudySpec
from lesion_core.search.study_record import StudyRecord
from lesion_core.search.trial_process import run_trial as run
from lesion_core.search.trial_spec import TrialOrder, TrialOutcome
from lesion_core.stores.folders import read_file
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT, training_slot


@task(name="plan-study", **RETRY_TRANSIENT)
def plan_study(recipe: Recipe, dataset: DatasetRef, spec: StudySpec) -> StudyPlan:
    """Check search space, pruner and dataset before any work."""
    return study.plan_study(recipe, dataset, spec, open_store())


@task(name="run-trial", task_run_name="trial-{order.number}", **RETRY_TRANSIENT)
def run_trial(order: TrialOrder) -> TrialOutcome:
    """Train and score one trial, epoch by epoch under the study's eyes; a retry after a kill resumes."""
    what = f"Trial {order.number} of {order.study}"
    with publish.progress("trial-progress", what) as on_progress, training_slot(on_progress):
        return run(order, store=open_store(), settings=read_settings(), on_progress=on_progress)


def conduct_study(plan: StudyPlan) -> StudyRecord:
    """Run what the study lacks of its trials, each as a task run where the flow's runner puts it."""
    with publish.progress("study-progress", plan.name) as on_progress:
        return course.conduct(
            plan, store=open_store(), settings=read_settings(), start=_start, on_progress=on_progress
        )


def _start(order: TrialOrder) -> course.Ask:
    future = run_trial.submit(order)
    return lambda: future.result() if future.wrapped_future.done() else None  # type: ignore[attr-defined]


@task(name="publish-study", **RETRY_TRANSIENT)
def publish_study(plan: StudyPlan, record: StudyRecord) -> StudyRef:
    """Store and show what the study found: its trials, figures, and the best one as a recipe file."""
    store = open_store()
    found = study_output.publish_study(plan, store=store, settings=read_settings())
    title = f"{found.id}: {record.in_words()}; best {found.best_score:.4f} (trial {found.best_trial})"
    publish.table(publish.STUDY_TRIALS, record.rows(), title)
    figures = [(caption, read_file(store, found, name)) for caption, name in study_output.FIGURES]
    publish.images(publish.STUDY_FIGURES, figures, title)
    best = read_file(store, found, study_output.BEST_NAME).decode()
    publish.markdown(publish.BEST_RECIPE, f"```yaml\n{best}```", title)
    return found
