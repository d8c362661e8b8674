"""A comparison of recipes: what is asked, what is run, what came of it, and what it is called.

``comparisons/<name>/<digest12>/``: leaderboard.json (``Leaderboard``) · leaderboard.csv · summary.md ·
recipes/*.json · figures/*.png · index.json.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from lesion_core.errors import ConfigError
from lesion_core.keys import comparison_key, digest_of
from lesion_core.paths import expanded
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef, Ref, ReportRef
from lesion_core.types import JsonDict, Slug, StoreKey, Value

STEP = "compare"
STEP_VERSION = 4
LEADERBOARD_NAME = "leaderboard.json"
TABLE_NAME = "leaderboard.csv"
SUMMARY_NAME = "summary.md"
DOUBTFUL_NAME = "doubtful_labels.csv"
FIGURES = (
    ("Differences", "differences"),
    ("Balanced accuracy by run", "scores"),
    ("Sensitivity by class", "sensitivities"),
    ("Validation score by epoch", "curves"),
)

MeasuredSplit = Literal["calibration", "test"]
CompareSplit = Literal["calibration", "validation", "test"]  # on 'validation', comparisons of older versions


class CompareRequest(Value):
    """Which recipes are compared, on which folds, with which seeds, and on which images they are measured."""

    name: Slug = Field(description="Name under which the comparison is kept", json_schema_extra={"position": 0})
    description: str = Field(
        default="", description="What it is to show, in a sentence", json_schema_extra={"position": 1}
    )
    recipes: tuple[Recipe | str, ...] = Field(
        default=(),
        description="Recipes by name, as a YAML file's path, or whole; not with 'base'",
        json_schema_extra={"position": 2},
    )
    base: Recipe | str | None = Field(
        default=None, description="Recipe whose fields 'axes' change", json_schema_extra={"position": 3}
    )
    axes: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict,
        description="Field of the base recipe, dotted for a section's, to the values to try; all are crossed: "
        '{"fusion": ["none", "concat"], "optimisation.ema_decay": [null, 0.99]}',
        json_schema_extra={"position": 4},
    )
    one_at_a_time: bool = Field(
        default=False,
        description="Change one axis at a time and leave the others as in 'base', which is trained too: what each "
        "ingredient brings",
        json_schema_extra={"position": 5},
    )
    folds: tuple[int, ...] = Field(
        default=(0, 1, 2),
        description="Folds that are left out in turn; empty: the dataset's own four splits",
        json_schema_extra={"position": 6},
    )
    seeds: tuple[int, ...] = Field(
        default=(),
        description="Seeds of the training, at least as far apart as a recipe has members; empty: each recipe's own",
        json_schema_extra={"position": 7},
    )
    split: MeasuredSplit = Field(
        default="calibration",
        description="What is measured: choose on 'calibration', whose images chose no epoch; 'test' is logged, and "
        "not to be repeated",
        json_schema_extra={"position": 8},
    )
    baseline: str = Field(
        default="",
        description="Name of the recipe that the others are held against; empty: the first",
        json_schema_extra={"position": 9},
    )
    dataset: str = Field(
        default="",
        description="Name of the dataset; empty: the one that each recipe names",
        json_schema_extra={"position": 10},
    )
    again: bool = Field(
        default=False,
        description="Look at test images that an older version of a recipe was measured on; wants a reason",
        json_schema_extra={"position": 11},
    )
    reason: str = Field(
        default="", max_length=2000, description="Why again; kept in the log", json_schema_extra={"position": 12}
    )
    n_bootstrap: int = Field(default=1000, ge=100, le=100_000, description="Group resamples of the intervals")
    seed: int = Field(default=7, ge=0, description="Of the resampling")

    @field_validator("split", mode="before")
    @classmethod
    def _chose_no_epoch(cls, split: object) -> object:
        if split == "validation":
            raise ValueError(
                "validation images chose each run's epoch, which favours long trainings; measure on 'calibration'"
            )
        return split

    @model_validator(mode="after")
    def _are_valid(self) -> "CompareRequest":
        if bool(self.recipes) == (self.base is not None):
            raise ValueError("give either 'recipes', or 'base' with 'axes'")
        if bool(self.axes) != (self.base is not None) or not all(self.axes.values()):
            raise ValueError("'axes' names fields of 'base', each with at least one value; give both or neither")
        if self.one_at_a_time and self.base is None:
            raise ValueError("'one_at_a_time' is about the axes of a base; give both, or leave it out")
        if len(set(self.folds)) < len(self.folds) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a fold or a seed is named twice")
        if any(number < 0 for number in (*self.folds, *self.seeds)):
            raise ValueError("folds and seeds are counted from 0")
        if self.again and not self.reason.strip():
            raise ValueError("'again' wants a reason, which is kept in the test-set access log")
        return self


class Run(Value):
    """One training of a comparison."""

    recipe: Recipe = Field(description="With the seed of this run")
    dataset: DatasetRef
    fold: int | None = None


class ComparisonPlan(Value):
    """Everything that a comparison trains."""

    request: CompareRequest
    recipes: tuple[Recipe, ...] = Field(min_length=1)
    runs: tuple[Run, ...] = Field(min_length=1)
    companions: tuple[str, ...] | None = Field(
        default=None,
        description="Ids of its models, which are one experiment and must be the first of their recipes to look at "
        "the test images. None: no test image is looked at, or the request says 'again'",
    )


class Outcome(Value):
    """What came of one run; without a report it failed, and ``failure`` says why."""

    run: Run
    model: ModelRef | None = None
    report: ReportRef | None = None
    failure: str = ""


class ComparisonJob(Value):
    """What the job ``compare`` gets."""

    request: CompareRequest
    outcomes: tuple[Outcome, ...] = Field(min_length=1)


class ComparisonRef(Ref):
    """A stored comparison."""

    split: CompareSplit
    reference: str = Field(description="Recipe that the others are held against")
    best: str = Field(description="Recipe with the highest mean balanced accuracy")
    n_recipes: int = Field(ge=1)
    n_failed: int = Field(ge=0, description="Runs that ended without a report")
    synthetic: bool


def outcome_of(run: Run, model: ModelRef | Exception, report: ReportRef | Exception) -> Outcome:
    """Return what came of a run whose training or evaluation may have raised instead of returning."""
    if isinstance(model, Exception):
        return Outcome(run=run, failure=f"training: {type(model).__name__}: {model}")
    if isinstance(report, Exception):
        return Outcome(run=run, model=model, failure=f"evaluation: {type(report).__name__}: {report}")
    return Outcome(run=run, model=model, report=report)


def comparison_inputs(job: ComparisonJob) -> JsonDict:
    """Return everything that a comparison depends on, JSON-serialisable."""
    asked = job.request.model_dump(mode="json", include={"name", "split", "baseline", "n_bootstrap", "seed"})
    runs = [
        {
            "recipe": outcome.run.recipe.name,
            "seed": outcome.run.recipe.seed,
            "fold": outcome.run.fold,
            "report": outcome.report.sha256 if outcome.report else None,
            "failure": outcome.failure,
        }
        for outcome in job.outcomes
    ]
    return {**asked, "runs": runs, "step_version": STEP_VERSION}


def comparison_key_of(job: ComparisonJob) -> StoreKey:
    """Return the folder of the comparison that ``job`` makes."""
    return comparison_key(job.request.name, digest_of(comparison_inputs(job)))


def choose_request(choice: CompareRequest | str, folder: Path) -> CompareRequest:
    """Return the request itself, or read the one that ``choice`` names.

    Args:
        choice: A request, the name of a file in ``folder`` without ``.yaml``, or the path of a YAML file.
        folder: Where named comparisons lie.

    Raises:
        ConfigError: There is no such file, or it is no request; the message names the field.
    """
    if isinstance(choice, CompareRequest):
        return choice
    path = expanded(choice) if choice.endswith((".yaml", ".yml")) else folder / f"{choice}.yaml"
    try:
        return CompareRequest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml"))) or "none there"
        raise ConfigError(
            f"expected the name of a comparison in {folder} ({known}) or the path of a YAML file, got {choice!r}: "
            f"{error.strerror}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"expected YAML in comparison {path}, got: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'comparison'}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(f"comparison {path} cannot be used: {problems}") from error
