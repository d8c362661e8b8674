"""Tables are read in the calling thread: a thread that is left may abort the process when it ends."""

import ast
import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lesion_core.parquet import read_frame, read_schema, read_table
from tests.conftest import ROOT

TABLE = pa.table({"isic_id": ["ISIC_1", "ISIC_2", None], "years": [1.5, None, 3.0], "n": [1, 2, 3]})
READERS = ("read_table", "read_pandas", "read_parquet", "ParquetDataset", "ParquetFile")
# It reads by a file's name, so that nothing of Python's is in the threads' hands.
BY_NAME = {"lesion_core/isic/ingest/holdings.py"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pq.write_table(TABLE, tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def test_file_and_bytes_give_the_table(path: Path) -> None:
    for source in (path, path.read_bytes()):
        assert read_table(source).equals(TABLE)
        assert read_table(source, ["n", "isic_id"]).equals(TABLE.select(["n", "isic_id"]))
        assert read_schema(source).equals(TABLE.schema)


def test_pandas_gets_what_its_own_reader_gives(path: Path) -> None:
    for columns in (None, ["n", "isic_id"]):
        pd.testing.assert_frame_equal(read_frame(path, columns), pd.read_parquet(path, columns=columns))
    frame = pd.DataFrame({"a": ["x", None]}, index=pd.Index([5, 7], name="key"))
    stream = io.BytesIO()
    frame.to_parquet(stream)
    pd.testing.assert_frame_equal(read_frame(stream.getvalue()), frame)


def test_what_is_no_table_or_lacks_a_column_is_refused(path: Path) -> None:
    with pytest.raises(pa.ArrowInvalid, match="expected the columns isic_id, sex, got isic_id, years, n"):
        read_table(path, ["isic_id", "sex"])
    with pytest.raises(pa.ArrowInvalid):
        read_table(b"PAR1 not really")
    with pytest.raises(FileNotFoundError):
        read_table(path.with_name("nothing.parquet"))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's threads")
@pytest.mark.parametrize(
    ("reading", "leaves_threads"),
    [
        ("read_table(body)", False),
        ("read_frame(body)", False),
        ("read_frame(path, ['n', 'isic_id'])", False),
        ("read_schema(body)", False),
        ("pyarrow.parquet.read_table(io.BytesIO(body))", True),  # what this module is there to avoid
    ],
)
def test_reading_leaves_no_thread_behind(path: Path, reading: str, leaves_threads: bool) -> None:
    script = f"""
import io, os, pathlib
import pyarrow.parquet
from lesion_core.parquet import read_frame, read_schema, read_table
path = pathlib.Path({str(path)!r})
body = path.read_bytes()
before = len(os.listdir("/proc/self/task"))
for _ in range(3):
    {reading}
print(len(os.listdir("/proc/self/task")) - before, flush=True)
os._exit(0)  # the case that leaves threads must not abort here
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 0) == leaves_threads


def test_no_other_module_reads_parquet() -> None:
    found = {
        file.relative_to(ROOT).as_posix()
        for package in ("lesion_core", "tasks", "flows", "deployments")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in READERS
        and isinstance(node.value, ast.Name)
        and node.value.id in ("pq", "pd", "pandas", "parquet")
        and not (node.value.id == "parquet" and "from lesion_core import parquet" in file.read_text(encoding="utf-8"))
    }
    assert found - BY_NAME == {"lesion_core/parquet.py"}
