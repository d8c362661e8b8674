"""Look for better values of a recipe, on validation images only."""

from prefect import flow

from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import StudyRef
from lesion_core.search.study import DEFAULT_STUDY, StudySpec
from tasks.dataset import find_dataset_for
from tasks.runners import trial_runner
from tasks.search import conduct_study, plan_study, publish_study
from tasks.training import load_recipe


@flow(name="tune", flow_run_name="tune", task_runner=trial_runner())
def tune_flow(recipe: Recipe | str = "isic-search", study: StudySpec = DEFAULT_STUDY) -> StudyRef:
    """Search the space that a recipe declares, on the newest dataset it asks for, and keep the best as a recipe file.

    The recipe itself is the first trial; the others are drawn by TPE, and those that fall behind are given up. Every
    trial is scored on the validation split; no test image is looked at. A study that was killed, cancelled or ended
    by an error goes on where it was when the same flow is run again; one that is asked for more trials adds them.

    Args:
        recipe: What to start from, with a section ``search``: the recipe itself, a name in the recipes folder, or a
            YAML file's path.
        study: How many trials, for how long, and when one is given up.

    Raises:
        ArtifactNotFound: There is no dataset of the name, size and colours that the recipe asks for.
        ConfigError: The space, the pruner or the dataset cannot do what is asked; nothing was trained.
    """
    recipe = load_recipe(recipe)
    plan = plan_study(recipe, find_dataset_for(recipe), study)
    record = conduct_study(plan)
    return publish_study(plan, record)
