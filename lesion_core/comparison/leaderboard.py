"""The numbers of a comparison as they are stored, and how they are made from its runs' reports.

The score is the mean over the folds of the balanced accuracy (``pooling``). Everything else is measured on the
answers of all folds and seeds put together, so that a class of a few lesions a fold still has a number: sensitivities
are then means over the folds weighted by their images. An AUC, and melanoma's sensitivity at a specificity, rank
answers across folds and seeds, so a fold or a seed whose scores lie lower as a whole lowers them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pydantic import AliasChoices, Field, ValidationError

from lesion_core.comparison.pooling import (
    Against,
    Folds,
    Scores,
    compare_with,
    gather,
    images_of,
    pooled,
    score_folds,
)
from lesion_core.comparison.spec import (
    LEADERBOARD_NAME,
    CompareSplit,
    ComparisonJob,
    ComparisonRef,
    Outcome,
)
from lesion_core.errors import ArtifactCorrupt, DataError
from lesion_core.evaluation.measurement import Scored, estimate_all
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.measures import LEADERBOARD, Measure
from lesion_core.statistics.metrics import balanced_accuracy
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store
from lesion_core.types import JsonDict, StoreKey, Value


class Training(Value):
    """How a model was made, as its folder says."""

    seconds: float = Field(ge=0, description="Of the whole fitting, validation and checkpoints included")
    n_epochs: int = Field(ge=0)
    n_parameters: int | None = Field(default=None, description="Of the network, moving statistics included")
    validation: tuple[float | None, ...] = Field(description="Balanced accuracy on validation, epoch by epoch")


class RunScore(Value):
    """One run that ended with a report."""

    recipe: str
    seed: int
    fold: int | None
    model_id: str
    report_id: str
    n_images: int
    balanced_accuracy: float = Field(ge=0, le=1)
    training: Training


class ClassScore(Value):
    """One class against the rest, over all folds."""

    diagnosis: Diagnosis
    n_images: int = Field(ge=0, description="Different ones, in the folds that the recipe has")
    n_groups: int = Field(ge=0)
    sensitivity: Estimate
    auc: Estimate


class Entry(Value):
    """One recipe."""

    recipe: str
    n_runs: int = Field(ge=1)
    n_planned: int = Field(ge=1, description="Runs that were to be; fewer ended with a report where some failed")
    balanced_accuracy: Estimate = Field(description="Mean over the folds; interval by resampling each fold's groups")
    spread: float | None = Field(description="Standard deviation over the runs; unknown for one")
    lowest: float = Field(description="Of any run")
    highest: float
    difference: Estimate | None = Field(
        description="Against the reference, over the folds that both have; the intervals of all recipes hold "
        "together with 95 %; none: this is the reference"
    )
    share_better: float | None = Field(
        validation_alias=AliasChoices("share_better", "probability_better"),
        description="Share of the resamples in which it is better than the reference; no probability",
    )
    macro_auc: Estimate
    melanoma_sensitivity_at_80_specificity: Estimate
    brier: Estimate
    log_loss: Estimate
    further: dict[str, Estimate] = Field(
        default_factory=dict,
        exclude_if=lambda found: not found,
        description="Measures of a leaderboard without a field of their own, by name",
    )
    classes: tuple[ClassScore, ...] = Field(description="In CLASS_ORDER")
    training_seconds: float = Field(ge=0, description="Mean of a run")
    n_parameters: int | None

    def estimate(self, measure: Measure) -> Estimate:
        """Return a number of ``measures.LEADERBOARD``, not known where the leaderboard is older than the measure."""
        found = getattr(self, measure.name, None) or self.further.get(measure.name)
        return found if isinstance(found, Estimate) else Estimate(value=None)


class Failure(Value):
    """One run that ended without a report."""

    recipe: str
    seed: int
    fold: int | None
    reason: str


class Leaderboard(Value):
    """Content of ``leaderboard.json``."""

    name: str
    description: str
    split: CompareSplit
    datasets: tuple[str, ...] = Field(description="Ids; they hold the same images in the same folds")
    folds: tuple[int | None, ...]
    reference: str
    baseline: str = Field(default="", description="What was asked for as the reference; empty: the first recipe")
    n_images: int = Field(ge=1, description="Different ones, over all folds")
    n_groups: int = Field(ge=1)
    chance: float = Field(description="Mean over the folds of 1 / number of classes that were scored there")
    n_bootstrap: int
    seed: int
    synthetic: bool
    entries: tuple[Entry, ...] = Field(
        min_length=1, description="Best first; recipes with failed runs after all others"
    )
    runs: tuple[RunScore, ...]
    failures: tuple[Failure, ...]


def read_leaderboard(store: Store, comparison: ComparisonRef | StoreKey) -> Leaderboard:
    """Return the numbers of a comparison.

    Raises:
        ArtifactNotFound: It is not in the store.
        ArtifactCorrupt: Its bytes are not those that were published, or no leaderboard of this version.
    """
    body = read_file(store, comparison, LEADERBOARD_NAME)
    try:
        return Leaderboard.model_validate_json(body)
    except ValidationError as error:
        key = comparison if isinstance(comparison, str) else comparison.key
        raise ArtifactCorrupt(
            f"expected a leaderboard of this version's form in {key}, got {error.error_count()} fields that differ; "
            "compare again",
            key=key,
        ) from error


def make_leaderboard(
    job: ComparisonJob,
    predictions: Mapping[str, pd.DataFrame],
    trainings: Mapping[str, Training],
    class_priors: Mapping[str, np.ndarray],
) -> Leaderboard:
    """Measure a comparison.

    Args:
        job: What was run.
        predictions: By report id, as ``report.read_predictions`` returns them.
        trainings: By model id.
        class_priors: By report id, the class shares that its probabilities stand for, float (k,).

    Raises:
        DataError: Every run failed, two recipes were measured on different images, a report is on another split or
            another model than stated, or two recipes go by one name.
    """
    request = job.request
    _check_reports(job)
    done = [outcome for outcome in job.outcomes if outcome.report is not None]
    if not done:
        reasons = "; ".join(sorted({outcome.failure for outcome in job.outcomes}))
        raise DataError(
            f"expected at least one run of comparison {request.name!r} to end with a report, got: {reasons}"
        )
    folds = gather(
        (each.run.recipe.name, each.run.fold, predictions[_report_id(each)], class_priors[_report_id(each)])
        for each in done
    )
    scores = score_folds(folds, n_bootstrap=request.n_bootstrap, seed=request.seed)
    runs = tuple(_run_score(each, predictions, trainings) for each in done)
    planned = {name: sum(each.run.recipe.name == name for each in job.outcomes) for name in scores}
    order = sorted(scores, key=lambda name: _rank(name, scores, runs, planned))
    # Fixed before anything was measured: whoever is held against the best of many equal ones looks worse.
    reference = request.baseline if request.baseline in scores else next(iter(scores))
    against = compare_with(scores, reference)
    images = pd.concat([answers.images for answers in folds.values()])
    return Leaderboard(
        name=request.name,
        description=request.description,
        split=request.split,
        datasets=tuple(sorted({each.run.dataset.id for each in done})),
        folds=tuple(folds),
        reference=reference,
        baseline=request.baseline,
        n_images=images["isic_id"].nunique(),
        n_groups=images["group"].nunique(),
        chance=float(np.mean([1 / each.images["class_index"].nunique() for each in folds.values()])),
        n_bootstrap=request.n_bootstrap,
        seed=request.seed,
        synthetic=any(each.report.model.synthetic or each.report.dataset.synthetic for each in done if each.report),
        entries=tuple(
            _entry(name, folds, scores[name], against.get(name), runs, planned[name], job) for name in order
        ),
        runs=runs,
        failures=tuple(_failure(each) for each in job.outcomes if each.report is None),
    )


def _check_reports(job: ComparisonJob) -> None:
    """Refuse what would stand under a wrong name: a validation score among test scores, or one recipe for two."""
    recipes: dict[str, JsonDict] = {}
    for outcome in job.outcomes:
        run, report = outcome.run, outcome.report
        if report is None:
            continue
        if report.split != job.request.split or report.model != outcome.model or report.model.fold != run.fold:
            raise DataError(
                f"expected reports on the {job.request.split} split of each run's own model, got {report.id} on the "
                f"{report.split} split of {report.model.id}; evaluate the models on the {job.request.split} split"
            )
        compared = run.recipe.model_dump(mode="json", exclude={"seed", "description", "gate"})
        if recipes.setdefault(run.recipe.name, compared) != compared:
            raise DataError(
                f"expected one recipe called {run.recipe.name!r}, got runs of different ones, among them "
                f"{report.model.id}; compare models of one version, or rename the recipes"
            )


def _rank(
    name: str, scores: Mapping[str, Scores], runs: Sequence[RunScore], planned: Mapping[str, int]
) -> tuple[bool, float, str]:
    """Sort by score; a recipe that lacks runs comes after all that have them: its folds may be the easy ones."""
    is_short = sum(run.recipe == name for run in runs) < planned[name]
    return is_short, -(scores[name].mean().value or 0.0), name


def _entry(
    name: str,
    folds: Folds,
    scores: Scores,
    against: Against | None,
    runs: Sequence[RunScore],
    n_planned: int,
    job: ComparisonJob,
) -> Entry:
    ours = [run for run in runs if run.recipe == name]
    values = [run.balanced_accuracy for run in ours]
    measured = _measure(pooled(folds, name), images_of(folds, name), job)
    return Entry(
        recipe=name,
        n_runs=len(ours),
        n_planned=n_planned,
        balanced_accuracy=scores.mean(),
        spread=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        lowest=min(values),
        highest=max(values),
        difference=against.difference if against else None,
        share_better=against.share_better if against else None,
        training_seconds=float(np.mean([run.training.seconds for run in ours])),
        n_parameters=next((run.training.n_parameters for run in ours if run.training.n_parameters), None),
        **measured,
    )


def _measure(scored: Scored, images: pd.DataFrame, job: ComparisonJob) -> dict[str, object]:
    """Return the fields of an entry that are measured on all folds and seeds together."""
    found = estimate_all(scored, n_bootstrap=job.request.n_bootstrap, seed=job.request.seed)
    own = {one.name: found.overall[one.name] for one in LEADERBOARD}
    further = {name: estimate for name, estimate in own.items() if name not in Entry.model_fields}
    return {
        **{name: estimate for name, estimate in own.items() if name not in further},
        "further": further,
        "classes": tuple(
            ClassScore(
                diagnosis=CLASS_ORDER[place],
                n_images=int((images["class_index"] == place).sum()),
                n_groups=scored.n_groups_of(scored.class_index == place),
                sensitivity=by_name["sensitivity"],
                auc=by_name["auc"],
            )
            for place, by_name in enumerate(found.by_class)
        ),
    }


def _run_score(
    outcome: Outcome, predictions: Mapping[str, pd.DataFrame], trainings: Mapping[str, Training]
) -> RunScore:
    table = predictions[_report_id(outcome)]
    assert outcome.model is not None
    return RunScore(
        recipe=outcome.run.recipe.name,
        seed=outcome.run.recipe.seed,
        fold=outcome.run.fold,
        model_id=outcome.model.id,
        report_id=_report_id(outcome),
        n_images=len(table),
        balanced_accuracy=balanced_accuracy(table["class_index"].to_numpy(), table["predicted_index"].to_numpy()),
        training=trainings[outcome.model.id],
    )


def _failure(outcome: Outcome) -> Failure:
    run = outcome.run
    return Failure(recipe=run.recipe.name, seed=run.recipe.seed, fold=run.fold, reason=outcome.failure)


def _report_id(outcome: Outcome) -> str:
    assert outcome.report is not None
    return outcome.report.id
