"""Heavy work in child processes: ``python -m lesion_core.jobs KIND SPEC.json``.

A parent never imports what its child needs; it names the kind of work and passes a JSON spec. The child
prints JSON lines (progress, then one result or one error), gives its memory back by ending, and may be
killed at any moment: the parent then raises ``ChildKilled``, which is transient.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel

from lesion_core.errors import ChildKilled, LesionError, error_by_name
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.refs import Ref
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference
from lesion_core.types import StoreKey

JobKind = Literal["train", "trial", "evaluate", "compare", "data-report", "unknown-class"]

# kind -> module that defines run(spec: dict, *, store, workdir, on_progress) -> BaseModel
_MODULES: Mapping[str, str] = {
    "train": "lesion_core.training.job",
    "trial": "lesion_core.search.trial",
    "evaluate": "lesion_core.evaluation.job",
    "compare": "lesion_core.comparison.job",
    "data-report": "lesion_core.dataset_report.job",
    "unknown-class": "lesion_core.evaluation.left_out.unknown_class_job",
}
_LAST_LINES = 40
# How a process ends for want of memory: by the system, or inside a library that did not look at what it was given.
_OUT_OF_MEMORY = {signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT}
_Result = TypeVar("_Result", bound=Ref)
log = logging.getLogger(__name__)


class JobModule(Protocol):
    """What a module named in ``_MODULES`` offers."""

    def run(self, spec: dict[str, Any], *, store: Store, workdir: Path, on_progress: ProgressCallback) -> BaseModel:
        """Do the work that ``spec`` describes and return the reference to its stored output."""


def run(
    kind: JobKind,
    spec: BaseModel,
    result_type: type[_Result],
    *,
    key: StoreKey,
    settings: LesionSettings,
    on_progress: ProgressCallback = ignore_progress,
) -> _Result:
    """Run one job in a child process and return the reference to its output.

    Output that is complete in the store is returned at once, without a child.

    Args:
        kind: Which job.
        spec: JSON-serialisable description of the work.
        result_type: Type that the child's result is parsed into.
        key: Folder of the output.
        settings: Handed to the child through its environment.
        on_progress: Called in this process with each progress report.

    Raises:
        LesionError: The very error, by class, that ended the child.
        ChildKilled: The child ended by a signal (out of memory, kill, lost machine).
    """
    if (made := find_reference(open_store(settings), result_type, key)) is not None:
        return made
    with tempfile.TemporaryDirectory(prefix="lesion-job-") as folder:
        spec_path = Path(folder) / "spec.json"
        spec_path.write_text(spec.model_dump_json())
        with _started([sys.executable, "-m", "lesion_core.jobs", kind, str(spec_path)], settings) as child:
            news, tail = _listen(child, on_progress)
            code = child.wait()
    if "result" in news:
        return result_type.model_validate(news["result"])
    if "error" in news:
        error = news["error"]
        raise error_by_name(error["type"])(error["message"], **error["context"])
    raise _unexplained(kind, code, tail)


def _environment(settings: LesionSettings) -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}
    for name, value in settings.model_dump(mode="python").items():
        if value is None:
            continue
        reveal = getattr(value, "get_secret_value", None)
        plain = reveal() if reveal else ",".join(value) if isinstance(value, tuple) else value
        environment[f"LESION_{name.upper()}"] = str(plain)
    return environment


@contextlib.contextmanager
def _started(command: list[str], settings: LesionSettings) -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # closes when this process dies, however it dies: the child then ends itself
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(settings),
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def _listen(child: "subprocess.Popen[str]", on_progress: ProgressCallback) -> tuple[dict[str, Any], list[str]]:
    """Read the child's JSON lines until it ends; return its last word and the tail of its stderr."""
    tail: list[str] = []
    reader = threading.Thread(target=_drain, args=(child.stderr, tail), daemon=True)
    reader.start()
    news: dict[str, Any] = {}
    assert child.stdout is not None
    for line in child.stdout:
        try:
            message = json.loads(line)
        except json.JSONDecodeError:
            log.info("child: %s", line.rstrip())
            continue
        if "progress" in message:
            on_progress(Progress.model_validate(message["progress"]))
        else:
            news = message
    reader.join(timeout=5)
    return news, tail


def _drain(pipe: IO[str] | None, tail: list[str]) -> None:
    for line in pipe or ():
        tail.append(line.rstrip())
        del tail[:-_LAST_LINES]
        log.debug("child: %s", line.rstrip())


def _unexplained(kind: str, code: int, tail: list[str]) -> LesionError:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (often: out of memory; a smaller batch or image may help)" if -code in _OUT_OF_MEMORY else ""
        return ChildKilled(
            f"The {kind} process was ended by {name}{hint}. A rerun resumes from its last checkpoint.", signal=name
        )
    return LesionError(
        f"The {kind} process ended with exit code {code} and no explanation. Its last lines:\n" + "\n".join(tail),
        exit_code=code,
    )


def _end_with_parent() -> None:
    """End this process when its parent's end of stdin closes, so that no child outlives a killed parent."""

    def watch() -> None:
        # os.read and not sys.stdin: a buffered reader's lock, held here, would abort the interpreter's shutdown.
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    """Carry out one job as a child process; return the exit code."""
    kind, spec_path = arguments
    # What libraries print to stdout must not mix with the JSON lines.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _end_with_parent()

    def say(message: dict[str, Any]) -> None:
        lines.write(json.dumps(message) + "\n")

    settings = LesionSettings()
    module: JobModule = importlib.import_module(_MODULES[kind])
    try:
        result = module.run(
            json.loads(Path(spec_path).read_text()),
            store=open_store(settings),
            workdir=settings.work,
            on_progress=lambda progress: say({"progress": progress.model_dump()}),
        )
    except LesionError as error:
        say({"error": {"type": type(error).__name__, "message": error.message, "context": error.context}})
        return 1
    say({"result": result.model_dump(mode="json")})
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sys.exit(main(sys.argv[1:]))
