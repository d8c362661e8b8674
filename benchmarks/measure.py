"""How the benchmarks measure: two rates in turn, their ratio pair by pair, and on what machine.

Shared machines are noisy, so a benchmark never states a time alone: ours and a peer run one after the other, several
rounds, and what counts is the median of the rounds' ratios.
"""

import json
import os
import platform
import resource
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rates of ours and of a peer, round by round, in ``unit`` per second; ratio above 1: ours is faster."""

    what: str
    peer: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours by theirs, round by round."""
        return tuple(one / other for one, other in zip(self.ours, self.theirs, strict=True))

    def row(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            **asdict(self),
            "ours_median": statistics.median(self.ours),
            "theirs_median": statistics.median(self.theirs),
            "ratio_median": statistics.median(self.ratios),
            "ratio_min": min(self.ratios),
            "ratio_max": max(self.ratios),
        }


def compare(
    what: str,
    peer: str,
    unit: str,
    *,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    rounds: int,
    warm_up: bool = True,
) -> Comparison:
    """Run both in turn, ``rounds`` times after a round that does not count, and return their rates.

    Args:
        what: What is measured.
        peer: What it is compared with.
        unit: What is counted, e.g. 'images'.
        ours: Does the work once and returns its rate per second.
        theirs: The same for the peer.
        rounds: How often.
        warm_up: Whether a first round is thrown away.
    """
    pairs = [(ours(), theirs()) for _ in range(rounds + warm_up)][int(warm_up) :]
    return Comparison(what, peer, unit, tuple(one for one, _ in pairs), tuple(other for _, other in pairs))


def peak_memory_mb(*, children: bool = False) -> float:
    """Return the largest resident size so far of this process, or of its largest ended child, in MB (10^6 bytes)."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return usage.ru_maxrss * (1024 if sys.platform != "darwin" else 1) / 1e6


def machine() -> dict[str, Any]:
    """Return what a reader must know of the machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def write_result(name: str, command: str, result: dict[str, Any]) -> Path:
    """Write ``docs/results/<name>.json`` and return its path.

    Args:
        name: Of the result, and of the block in the docs that shows it.
        command: What was run, as a reader would type it.
        result: What was measured; its ``table`` (``header`` and ``rows`` of text) is what the docs show.
    """
    path = RESULTS / f"{name}.json"
    content = {"command": command, "machine": machine(), **result}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    names = [
        line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()
