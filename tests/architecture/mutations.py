"""Plant each fault of ``faults.py`` in a copy of the project and see the tests of CI find it.

``python -m tests.architecture.mutations`` prints a table and fails where a fault is not found. The tests of a fault
run twice: on the code as it is, where they must pass, and on the code with the fault, where one must fail.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.architecture.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
_PASSED, _FAILED = 0, 1  # pytest's exit codes; any other means that the tests did not run


def copy_project(place: Path) -> Path:
    """Copy what belongs to the project, changes that are not committed included."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listing.stdout.split("\0")):
        source, target = ROOT / name, place / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return place


def run_test(test: str, project: Path) -> tuple[int, str]:
    """Run a test on a copy, without what only the night runs; return pytest's exit code and its last lines."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout[-2000:] + done.stderr[-1000:]


def is_found(fault: Fault, project: Path) -> tuple[bool, str]:
    """Say whether the fault's test finds it, and which case did or what happened instead."""
    path = project / fault.path
    right = path.read_text(encoding="utf-8")
    code, output = run_test(fault.test, project)
    if code != _PASSED:
        return False, f"the test does not pass without the fault:\n{output}"
    path.write_text(right.replace(fault.right, fault.wrong), encoding="utf-8")
    try:
        code, output = run_test(fault.test, project)
    finally:
        path.write_text(right, encoding="utf-8")
    failed = re.search(r"^FAILED (\S+)", output, re.MULTILINE)
    if code == _FAILED and failed:
        return True, failed[1].rpartition("::")[2]
    return False, f"pytest ended with {code}:\n{output}"


def main() -> int:
    """Print which faults are found; return 1 where one is not."""
    missed = 0
    with tempfile.TemporaryDirectory(prefix="lesion-mutations-") as folder:
        project = copy_project(Path(folder))
        print("| what is taken away | found by |\n|---|---|", flush=True)
        for fault in FAULTS:
            found, words = is_found(fault, project)
            missed += not found
            print(f"| {fault.name} | {f'`{words}`' if found else f'NOT FOUND: {words}'} |", flush=True)
    print(f"\n{len(FAULTS) - missed} of {len(FAULTS)} planted faults found")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
