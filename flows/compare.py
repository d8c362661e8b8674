"""Train recipes on the same folds and hold them against each other."""

from prefect import allow_failure, flow, unmapped

from lesion_core.comparison.spec import CompareRequest, ComparisonRef
from tasks.comparison import note_outcome, plan_comparison, publish_comparison
from tasks.evaluation import evaluate_model
from tasks.runners import task_runner
from tasks.training import train_model


@flow(name="compare", flow_run_name="compare", task_runner=task_runner())
def compare_flow(comparison: CompareRequest | str = "fusion") -> ComparisonRef:
    """Compare recipes by cross-validation over groups.

    Each recipe is trained once for every fold and seed, without the images of that fold, and measured as it would be
    served. Scores are means over the folds; differences are paired by group. A model that is there already is not
    trained again, so a rerun continues, and a comparison with one more recipe trains that one only. A run that fails
    is listed with its reason and the rest is compared.

    Recipes are chosen on the validation split. To measure on the test split is a look, which is noted; a recipe looks
    at a fold's test images once.

    Args:
        comparison: What is compared: the request itself, a name in the comparisons folder, or a YAML file's path.

    Raises:
        ConfigError: A recipe, an axis or a fold that cannot be used, or a second look at test images.
        DataError: The recipes' datasets hold different images, or every run failed.
    """
    plan = plan_comparison(comparison)
    datasets = [run.dataset for run in plan.runs]
    models = train_model.map([run.recipe for run in plan.runs], datasets, [run.fold for run in plan.runs])
    reports = evaluate_model.map(models, datasets, unmapped(plan.request.split), unmapped(plan.request.reason))
    outcomes = note_outcome.map(list(plan.runs), allow_failure(models), allow_failure(reports)).result()
    return publish_comparison(plan, outcomes)
