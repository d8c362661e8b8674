"""``python -m deployments.stack.watched FD MODULE ARGUMENTS…``: run a module that ends when its stack is gone.

The stack holds the other end of the pipe ``FD`` and never writes to it. When that process dies, however it dies, the
pipe closes, on Linux as on macOS; this process then ends itself and all that it started in its process group,
and what is left after ten seconds in any session below it.
"""

import contextlib
import os
import runpy
import signal
import sys
import threading
import time

from deployments.stack.processes import descendants, kill

_GRACE_SECONDS = 10


def end_with(descriptor: int) -> None:
    """End this process group when the other end of a pipe closes: asked first, killed ten seconds later."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(descriptor, 4096):
                pass
        os.killpg(0, signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        kill(descendants({os.getpid()}))
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="watch-the-stack").start()


def main(arguments: list[str]) -> None:
    """Run the module as ``python -m`` would."""
    descriptor, module, *rest = arguments
    end_with(int(descriptor))
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
