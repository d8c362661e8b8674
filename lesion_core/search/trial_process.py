"""A trial as a worker carries it out: in a child process, under the eyes of its study."""

import contextlib

from lesion_core import jobs
from lesion_core.errors import TrialStopped
from lesion_core.progress import ProgressCallback, ignore_progress
from lesion_core.refs import TrialRef
from lesion_core.search.signals import Reporter, check_study
from lesion_core.search.trial_scratch import give_up
from lesion_core.search.trial_spec import TrialOrder, TrialOutcome, trial_key_of
from lesion_core.settings import LesionSettings
from lesion_core.stores.protocol import Store


def run_trial(
    order: TrialOrder, *, store: Store, settings: LesionSettings, on_progress: ProgressCallback = ignore_progress
) -> TrialOutcome:
    """Run a trial to its end, or until its study gives it up; the child ends then, and its checkpoints go.

    A trial that is stored already is returned at once, without a child.

    Raises:
        StudyEnded: Its study ended before it; the child ends, its checkpoints stay, and the same order resumes from
            them.
        LesionError: The very error, by class, that ended the child.
        ChildKilled: The child ended by a signal; the same order resumes from the last checkpoint.
    """
    key = trial_key_of(order.job)
    reporter = Reporter(order, store, on_progress)
    check_study(store, order)
    with contextlib.suppress(TrialStopped):
        trial = jobs.run("trial", order.job, TrialRef, key=key, settings=settings, on_progress=reporter)
        return TrialOutcome(trial=trial)
    give_up(key, settings.work)
    return TrialOutcome(stopped_after=reporter.last)
