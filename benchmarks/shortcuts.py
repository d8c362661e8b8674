"""What tells the class without a look at the lesion: ``python -m benchmarks.shortcuts ARCHIVE``.

ARCHIVE is a folder as the archive's downloader leaves it. Its images go through mirror, ingestion and preparation
into a scratch store; the numbers are those of the dataset's certificate.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import write_result
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.proof.certificate import verify_stored
from lesion_core.dataset_report.content import shortcut_table
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.stores.local import LocalStore


def main(archive: Path) -> None:
    """Measure and write ``isic-2019-shortcuts.json``."""
    with tempfile.TemporaryDirectory(prefix="lesion-shortcuts-") as scratch:
        store, work = LocalStore(Path(scratch) / "store"), Path(scratch) / "work"
        with running_mirror(archive) as url:
            snapshot = ingest(ArchiveSource(url=url), store)
        dataset = prepare(snapshot, PrepareOptions(), store, workdir=work)
        table = shortcut_table(verify_stored(store, dataset).shortcuts)
    result = {"n_images": dataset.n_images, "table": {"header": table.header, "rows": table.rows}}
    print(write_result("isic-2019-shortcuts", "python -m benchmarks.shortcuts ARCHIVE", result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
