"""The official client, pointed at a mirror: run by ``benchmarks.ingest`` with the Python that holds isic-cli.

Imports nothing of this project. The client's own command does the work; what is excluded from its time is its start.
"""

import argparse
import json
import resource
import time
from pathlib import Path

from isic_cli import cli


def main() -> None:
    """Download everything; print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--into", required=True, type=Path)
    options = parser.parse_args()
    cli.DOMAINS["dev"] = options.url.removesuffix("/api/v2/")
    began = time.perf_counter()
    arguments = ["--guest", "--dev", "--no-version-check", "image", "download", str(options.into)]
    cli.cli(arguments, standalone_mode=False)
    seconds = time.perf_counter() - began
    images = len(list(options.into.glob("*.jpg")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print("\n" + json.dumps({"images": images, "seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
