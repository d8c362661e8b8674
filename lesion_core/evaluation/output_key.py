"""What a report depends on, and so what it is called."""

from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.version import STEP_VERSION
from lesion_core.keys import digest_of, report_key
from lesion_core.types import JsonDict, StoreKey


def report_inputs(job: EvaluateJob) -> JsonDict:
    """Return everything that the report depends on, JSON-serialisable."""
    return {
        "model": job.model.sha256,
        "dataset": job.dataset.sha256,
        "split": job.split,
        "n_bootstrap": job.n_bootstrap,
        "seed": job.seed,
        "analyses": job.analyses,
        "step_version": STEP_VERSION,
    }


def report_key_of(job: EvaluateJob) -> StoreKey:
    """Return the folder of the report that ``job`` makes."""
    return report_key(job.model.id, digest_of(report_inputs(job)))
