"""What tells the class without a look at the lesion: ``python -m benchmarks.shortcuts ARCHIVE``.

ARCHIVE is a folder as the archive's downloader leaves it. Its images go through mirror, ingestion and preparation
into a scratch store; the numbers are those of the report on the dataset.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import write_result
from lesion_core.dataset.prepare import prepare
from lesion_core.evaluation.data_report import read_data_summary, run
from lesion_core.evaluation.data_spec import DataReportJob
from lesion_core.isic.ingest import ingest
from lesion_core.isic.mirror import running_mirror
from lesion_core.stores.local import LocalStore
from lesion_core.types import ArchiveSource, PrepareOptions, ignore_progress


def main(archive: Path) -> None:
    """Measure and write ``isic-2019-shortcuts.json``."""
    with tempfile.TemporaryDirectory(prefix="lesion-shortcuts-") as scratch:
        store, work = LocalStore(Path(scratch) / "store"), Path(scratch) / "work"
        with running_mirror(archive) as url:
            snapshot = ingest(ArchiveSource(url=url), store)
        dataset = prepare(snapshot, PrepareOptions(), store, workdir=work)
        job = DataReportJob(dataset=dataset).model_dump(mode="json")
        content = read_data_summary(store, run(job, store=store, workdir=work, on_progress=ignore_progress))
    header = ["fact alone", "balanced accuracy (95 % interval)", "chance", "scored on images"]
    rows = [
        [one.fact, one.balanced_accuracy.in_words(), f"{one.chance:.3f}", f"{one.n_images:,}"]
        for one in content.shortcuts
    ]
    result = {"n_images": dataset.n_images, "table": {"header": header, "rows": rows}}
    print(write_result("isic-2019-shortcuts", "python -m benchmarks.shortcuts ARCHIVE", result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
