"""What people report of where Prefect, Gradio, isic-cli, Optuna, ONNX Runtime and boto3 run, tried here."""

from tests.faults.surroundings.case import SurroundingCase
from tests.faults.surroundings.folders import FOLDER_CASES
from tests.faults.surroundings.models import MODEL_CASES
from tests.faults.surroundings.object_store import OBJECT_STORE_CASES
from tests.faults.surroundings.processes import PROCESS_CASES
from tests.faults.surroundings.studies import STUDY_CASES

SURROUNDING_CASES: tuple[SurroundingCase, ...] = (
    *PROCESS_CASES,
    *FOLDER_CASES,
    *STUDY_CASES,
    *MODEL_CASES,
    *OBJECT_STORE_CASES,
)
