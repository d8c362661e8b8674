"""How many rows agree with the challenge's own tables: ``python -m benchmarks.official_labels FOLDER``.

FOLDER holds ``archive/`` (the archive's current vocabulary, ``metadata.csv``) and ``challenge/`` (the two tables that
the ISIC 2019 challenge published of the same images). Both are read as sources; the peer is a plain reading of the
published tables that knows nothing of this program's rules.
"""

import csv
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.measure import write_result
from lesion_core.isic.mirror.folder import read_folder
from lesion_core.isic.taxonomy import age_of, classify, sex_of, site_of

Row = Mapping[str, str]
PROPERTIES: dict[str, tuple[Callable[[Row], object], Callable[[Row, Row], str]]] = {
    "class": (classify, lambda truth, facts: next(name for name, one in truth.items() if one == "1.0")),
    "site": (site_of, lambda truth, facts: facts["anatom_site_general"]),
    "age": (age_of, lambda truth, facts: facts["age_approx"] and str(float(facts["age_approx"]))),
    "sex": (sex_of, lambda truth, facts: facts["sex"]),
}


def published(file: Path) -> dict[str, Row]:
    """Return a published table's rows by id."""
    with file.open(newline="", encoding="utf-8") as stream:
        return {row["image"].removesuffix("_downsampled"): row for row in csv.DictReader(stream)}


def agreements(source: Path, truth: Mapping[str, Row], facts: Mapping[str, Row]) -> dict[str, str]:
    """Return 'rows that agree of rows' by property."""
    rows = {entry.isic_id: entry.row for entry in read_folder(source).entries}
    assert rows.keys() == truth.keys() == facts.keys()
    counts = {
        name: sum(text(read(row)) == official(truth[key], facts[key]) for key, row in rows.items())
        for name, (read, official) in PROPERTIES.items()
    }
    return {name: f"{count:,} of {len(rows):,}" for name, count in counts.items()}


def text(value: object) -> str:
    """Return a value as the published tables write it."""
    return "" if value is None else str(value)


def main(folder: Path) -> None:
    """Count and write ``official-labels.json``."""
    tables = folder / "challenge"
    truth, facts = (published(tables / f"ISIC_2019_Training_{name}.csv") for name in ("GroundTruth", "Metadata"))
    layouts = {"archive's metadata.csv": folder / "archive", "challenge's two tables": tables}
    found = {name: agreements(place, truth, facts) for name, place in layouts.items()}
    unknown = {
        name: f"{sum(not official(truth[key], facts[key]) for key in truth):,}"
        for name, (_, official) in PROPERTIES.items()
    }
    rows = [[name, *(counts[name] for counts in found.values()), unknown[name]] for name in PROPERTIES]
    header = ["property", *(f"rows that agree, from the {name}" for name in layouts), "of these officially unknown"]
    command = "python -m benchmarks.official_labels FOLDER"
    print(write_result("official-labels", command, {"table": {"header": header, "rows": rows}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
