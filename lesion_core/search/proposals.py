"""The study's side of a search: Optuna asks and is told here, and by one process only.

Sampling is TPE over all fields together (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"; Falkner
et al. 2018, arXiv:1807.01774, for the joint form), trials under way counted as poor ones (constant liar) so that
several at once do not crowd. Pruning is by the median of complete trials at the same epoch, or Hyperband (Li et al.
2018, arXiv:1603.06560). Importance is fANOVA (Hutter et al. 2014).
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from lesion_core.errors import ConfigError
from lesion_core.keys import digest_of
from lesion_core.recipes.search_space import Choice, Dimension, FloatRange
from lesion_core.search.storage import opened_storage
from lesion_core.search.study import StudyPlan, Values, own_values, with_values
from lesion_core.search.study_record import StudyRecord, TrialRecord, TrialStateName
from lesion_core.search.trial_spec import TrialJob, TrialOrder
from lesion_core.settings import LesionSettings
from lesion_core.training.plan import count_epochs

# Attributes of a trial in Optuna's storage.
_BASE, _CONTINUES, _CHANNEL, _LOST, _REASON, _STORED = "base", "continues", "channel", "lost", "reason", "stored"
_FEWEST_FOR_IMPORTANCE = 4
_STATES: dict[TrialState, TrialStateName] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_ALIVE = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)


@contextlib.contextmanager
def opened_search(plan: StudyPlan, settings: LesionSettings) -> Iterator["Search"]:
    """Open a study, new or as it was left, for this process alone.

    Trials that were running when an earlier process ended are marked failed, and asked for again with the same
    values; as their output and checkpoints are named by what they depend on, nothing of them is lost. Where the trial
    of the recipe's own values failed, they come first again.

    Raises:
        ConfigError: Another process runs this study, or its storage is invalid.
        StoreUnavailable: Its database does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with opened_storage(plan.name, settings) as storage:
        study = optuna.create_study(
            storage=storage,
            study_name=plan.name,
            direction="maximize",
            load_if_exists=True,
            pruner=_pruner(plan),
        )
        search = Search(plan, study, storage)
        search.recover()
        yield search


class Search:
    """One open study: hands out trials, hears of their epochs, judges them, and is told how they ended."""

    def __init__(self, plan: StudyPlan, study: optuna.Study, storage: BaseStorage) -> None:
        self.plan, self.study, self.storage = plan, study, storage
        self.distributions = {path: _distribution(dimension) for path, dimension in plan.space.items()}
        self.trials: dict[int, Trial] = {}  # those under way

    def recover(self) -> None:
        """Mark what an earlier process left running as failed, and put its values in line.

        Before them come the recipe's own values, where no trial of those is under way or complete.
        """
        trials = self.study.get_trials(deepcopy=False)
        if not any(trial.user_attrs.get(_BASE) and trial.state in _ALIVE for trial in trials):
            self.study.enqueue_trial(own_values(self.plan.recipe), user_attrs={_BASE: True})
        continued = {trial.user_attrs.get(_CONTINUES) for trial in trials}
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                if trial.number not in continued:
                    self._continue(trial)
                self._lose(trial.number)

    def _continue(self, trial: FrozenTrial) -> None:
        values = trial.system_attrs.get("fixed_params") or trial.params
        if set(values) != set(self.distributions):
            return  # it died before all values were drawn, so nothing of it was started
        kept = {name: value for name, value in trial.user_attrs.items() if name in (_BASE, _CHANNEL)}
        self.study.enqueue_trial(dict(values), user_attrs={_CHANNEL: trial.number, **kept, _CONTINUES: trial.number})

    def _lose(self, number: int) -> None:
        study_id = self.storage.get_study_id_from_name(self.plan.name)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        self.storage.set_trial_user_attr(trial_id, _LOST, True)
        self.storage.set_trial_user_attr(trial_id, _REASON, "the process of the study ended while it ran")
        self.study.tell(number, state=TrialState.FAIL)

    @property
    def n_told(self) -> int:
        """Trials that count: complete, pruned and failed, but not those in whose place another one stands."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state.is_finished() and not _is_lost(trial) for trial in trials)

    def ask(self) -> TrialOrder:
        """Return the next trial.

        What is drawn depends on the study's seed, on how many trials there were before, and on how they ended: a
        study that was interrupted draws what it would have drawn.

        Raises:
            ConfigError: The drawn values together make an invalid recipe; the trial is recorded as failed.
        """
        self.study.sampler = _sampler(self.plan, self.n_told + len(self.trials))
        trial = self.study.ask(self.distributions)
        channel = int(trial.user_attrs.get(_CHANNEL, trial.number))
        self.trials[trial.number] = trial
        try:
            recipe = with_values(self.plan.recipe, trial.params)
        except ConfigError as error:
            self.fail(trial.number, str(error))
            raise
        spec = self.plan.spec
        return TrialOrder(
            study=self.plan.name,
            number=trial.number,
            channel=channel,
            job=TrialJob(recipe=recipe, dataset=self.plan.dataset, fold=spec.fold),
            n_epochs=count_epochs(recipe),
            is_judged=spec.pruner != "none" and not trial.user_attrs.get(_BASE),
        )

    def is_base(self, number: int) -> bool:
        """Say whether a running trial is the recipe that the search started from."""
        return bool(self.trials[number].user_attrs.get(_BASE))

    def report(self, number: int, epoch: int, score: float) -> bool:
        """Note a running trial's score after an epoch, and say whether it should be given up.

        The recipe's own trial never is: the others are compared with it.
        """
        trial = self.trials[number]
        trial.report(score, epoch)
        should_stop = bool(trial.should_prune())  # NumPy's own kind of bool from some pruners
        return should_stop and not self.is_base(number)

    def complete(self, number: int, score: float, stored: str) -> None:
        """Tell the score of a finished trial and what it left in the store."""
        self._end(number, TrialState.COMPLETE, score=score, stored=stored)

    def prune(self, number: int, reason: str) -> None:
        """Tell that a trial was given up."""
        self._end(number, TrialState.PRUNED, reason=reason)

    def fail(self, number: int, reason: str) -> None:
        """Tell that a trial failed, and why."""
        self._end(number, TrialState.FAIL, reason=reason)

    def _end(
        self, number: int, state: TrialState, *, score: float | None = None, reason: str = "", stored: str = ""
    ) -> None:
        trial = self.trials.pop(number)
        for name, value in ((_REASON, reason), (_STORED, stored)):
            if value:
                trial.set_user_attr(name, value)
        self.study.tell(trial, score, state=state)

    def record(self) -> StudyRecord:
        """Return all trials as plain values."""
        return StudyRecord(tuple(_record(trial) for trial in self.study.get_trials(deepcopy=False)))

    def importance(self) -> dict[str, float]:
        """Return the share of the spread between complete trials that each field explains: largest first, sum 1.

        Empty where too few trials are complete to say anything.
        """
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < _FEWEST_FOR_IMPORTANCE or len({trial.value for trial in complete}) == 1:
            return {}
        return get_param_importances(self.study, evaluator=FanovaImportanceEvaluator(seed=self.plan.spec.seed))


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.choices)
    if isinstance(dimension, FloatRange):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _pruner(plan: StudyPlan) -> BasePruner:
    spec = plan.spec
    if spec.pruner == "median":
        # Epochs count from 1, so the first verdict falls at the end of epoch min_epochs.
        return MedianPruner(n_startup_trials=spec.startup_trials, n_warmup_steps=spec.min_epochs)
    if spec.pruner == "hyperband":
        return HyperbandPruner(
            min_resource=spec.min_epochs,
            max_resource=count_epochs(plan.recipe),
            reduction_factor=spec.reduction_factor,
        )
    return NopPruner()


def _sampler(plan: StudyPlan, n_before: int) -> TPESampler:
    """Return a sampler for one draw, seeded by how many came before: an interrupted study does not repeat itself."""
    seed = int(digest_of([plan.spec.seed, n_before])[:8], 16)
    return TPESampler(n_startup_trials=plan.spec.startup_trials, seed=seed, multivariate=True, constant_liar=True)


def _is_lost(trial: FrozenTrial) -> bool:
    """Say whether another trial stands in the place of this one, which does not count.

    It ran when its study ended, and is continued; or it was the recipe itself and failed, and is tried again.
    """
    said = trial.user_attrs
    return bool(said.get(_LOST) or (said.get(_BASE) and trial.state == TrialState.FAIL))


def _record(trial: FrozenTrial) -> TrialRecord:
    said: dict[str, Any] = trial.user_attrs
    values: Values = dict(trial.params)
    return TrialRecord(
        number=trial.number,
        state="lost" if _is_lost(trial) else _STATES[trial.state],
        values=values,
        score=trial.value if trial.state == TrialState.COMPLETE else None,
        epochs={epoch: score for epoch, score in sorted(trial.intermediate_values.items()) if math.isfinite(score)},
        is_base=bool(said.get(_BASE)),
        trial=str(said.get(_STORED, "")),
        reason=str(said.get(_REASON, "")),
        seconds=trial.duration.total_seconds() if trial.duration else 0.0,
    )
