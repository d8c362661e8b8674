"""What the report on the shared model holds."""

import pytest

from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.report import ANALYSES_NAME, Metrics, read_metrics
from lesion_core.stores.folders import read_file
from tests.core.evaluation.conftest import Evaluated


@pytest.fixture(scope="module")
def metrics(evaluated: Evaluated) -> Metrics:
    return read_metrics(evaluated.store, evaluated.report)


@pytest.fixture(scope="module")
def analyses(evaluated: Evaluated) -> Analyses:
    return Analyses.model_validate_json(read_file(evaluated.store, evaluated.report, ANALYSES_NAME))
