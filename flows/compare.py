"""Train recipes on the same folds and hold them against each other."""

from prefect import flow
from prefect.futures import PrefectFuture

from lesion_core.comparison.spec import CompareRequest, ComparisonPlan, ComparisonRef, Outcome, Run
from lesion_core.refs import ModelRef, ReportRef
from tasks.comparison import note_outcome, plan_comparison, publish_comparison
from tasks.evaluation import evaluate_model
from tasks.runners import comparison_runner
from tasks.training import train_model


@flow(name="compare", flow_run_name="compare", task_runner=comparison_runner())
def compare_flow(comparison: CompareRequest | str = "fusion") -> ComparisonRef:
    """Compare recipes by cross-validation over groups.

    Each recipe is trained once for every fold and seed, without the images of that fold, and measured as it would be
    served. Scores are means over the folds; differences are paired by group. A model that is there already is not
    trained again, so a rerun continues, and a comparison with one more recipe trains that one only. A run that fails
    is listed with its reason and the rest is compared.

    Recipes are chosen on the validation split. A measurement on the test split is logged as an access to it; a recipe
    is measured on a fold's test images once, which is checked before the trainings and again before each measurement.

    Args:
        comparison: What is compared: the request itself, a name in the comparisons folder, or a YAML file's path.

    Raises:
        ConfigError: A recipe, an axis or a fold that cannot be used, or a second look at test images.
        DataError: The recipes' datasets hold different images, or every run failed.
    """
    plan = plan_comparison(comparison)
    started = [_start(run, plan) for run in plan.runs]
    outcomes = [_note(run, *futures) for run, futures in zip(plan.runs, started, strict=True)]
    return publish_comparison(plan, outcomes)


def _start(run: Run, plan: ComparisonPlan) -> tuple[PrefectFuture[ModelRef], PrefectFuture[ReportRef]]:
    """Start one run; in this order the runner takes its evaluation before the training of a later run."""
    model = train_model.submit(run.recipe, run.dataset, run.fold)
    asked = (plan.request.split, plan.request.reason, plan.companions)
    return model, evaluate_model.submit(model, run.dataset, *asked, analyses=False, return_state=False)


def _note(run: Run, model: PrefectFuture[ModelRef], report: PrefectFuture[ReportRef]) -> Outcome:
    """Wait for one run; without a model there is no report to ask for."""
    made = model.result(raise_on_failure=False)
    return note_outcome(run, made, made if isinstance(made, Exception) else report.result(raise_on_failure=False))
