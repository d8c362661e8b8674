"""What a model version depends on, and so what it is called."""

from lesion_core.fields.table import key_of_later
from lesion_core.keys import digest_of, model_key
from lesion_core.labels import FURTHER_CLASSES
from lesion_core.recipes.former_names import with_former_names
from lesion_core.training.pretrained import weights_digest
from lesion_core.training.spec import TrainJob
from lesion_core.training.version import STEP_VERSION
from lesion_core.types import JsonDict, StoreKey


def training_inputs(job: TrainJob) -> JsonDict:
    """Return everything that the trained model depends on, JSON-serialisable.

    A recipe's description, gate and search space do not change the weights and are left out; a weights file counts by
    what the recipe calls it and by its content. A fold is named only where there is one, and so are a teacher and a
    model to start from: by its id, and by the digest of its index, which its weights decide. Classes that the code
    knows besides those of ISIC 2019 are named where there are any.

    Raises:
        ConfigError: The recipe names a weights file that cannot be read.
    """
    recipe = job.recipe
    return {
        "recipe": with_former_names(recipe.model_dump(mode="json", exclude={"description", "gate", "search"})),
        "dataset": job.dataset.sha256,
        "start_from": job.start_from,
        "weights_sha256": None if job.start_from else weights_digest(recipe.weights),  # all of them are replaced
        "step_version": STEP_VERSION,
        **({} if job.fold is None else {"fold": job.fold}),
        **({} if job.start_from is None else {"start_from_sha256": job.start_from_sha256}),
        **({"further_classes": list(FURTHER_CLASSES)} if FURTHER_CLASSES else {}),
        **_taught(job),
        **key_of_later(),
    }


def _taught(job: TrainJob) -> JsonDict:
    if job.teacher is None:
        return {}
    settings = job.distillation.model_dump(mode="json")
    return {"teacher": job.teacher, "teacher_sha256": job.teacher_sha256, "distillation": settings}


def training_key(job: TrainJob) -> StoreKey:
    """Return the folder of the model that ``job`` makes; raises as ``training_inputs``."""
    return model_key(job.recipe.name, digest_of(training_inputs(job)))
