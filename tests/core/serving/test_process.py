"""What answering does to the process it runs in."""

import os
import subprocess
import sys
from pathlib import Path

from tests.model_folders import write_model_folder

_SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from lesion_core.serving.predictor import Predictor, explain_answer
from lesion_core.types import PatientMetadata
predictor = Predictor.load(Path(sys.argv[1]))
side = predictor.preprocessing.size_px
answer = explain_answer(predictor, np.zeros((side, side, 3), np.uint8), PatientMetadata())
heavy = {"tensorflow", "keras", "gradio", "prefect"} & set(sys.modules)
assert not heavy, heavy
print(len(answer.classes))
"""


def test_answering_loads_no_training_library_and_reports_to_nobody(tmp_path: Path) -> None:
    folder, temporary, home = (tmp_path / name for name in ("model", "tmp", "home"))
    write_model_folder(folder)
    temporary.mkdir()
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS")
    }
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(folder)],
        env={**environment, "TMPDIR": str(temporary), "HOME": str(home)},
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "8"
    # ONNX Runtime's reporting begins with a session file in the temporary folder.
    assert list(temporary.iterdir()) == []
    assert list(home.iterdir()) == []
