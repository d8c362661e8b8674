"""What a spreadsheet, a script or an accident makes of ``metadata.csv``."""

from collections.abc import Callable

from lesion_core.errors import ConfigError, ManifestError
from lesion_core.labels import CLASS_ORDER
from tests.core.isic.folders import isic_id
from tests.faults.case import SPOILED, TableCase
from tests.faults.expected import Arrived, Refused, Reported

_ID = isic_id(SPOILED).encode()


def _replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Change the table's text wherever it stands."""
    return lambda table: table.replace(old, new)


def _cells(column: str, cell: str, *, name: str = "") -> Callable[[bytes], bytes]:
    """Put ``cell``, as it stands, into the spoiled row; ``name`` renames or adds the column."""

    def spoil(table: bytes) -> bytes:
        header, *rows = table.decode().splitlines()
        names = header.split(",")
        if column not in names:
            names.append(column)
            rows = [f"{line}," for line in rows]
        place = names.index(column)
        names[place] = name or column
        spoiled = []
        for line in rows:
            parts = line.split(",")
            if parts[0] == isic_id(SPOILED):
                parts[place] = cell
            spoiled.append(",".join(parts))
        return ("\r\n".join([",".join(names), *spoiled]) + "\r\n").encode()

    return spoil


def _without(column: str) -> Callable[[bytes], bytes]:
    """Take a column away."""

    def spoil(table: bytes) -> bytes:
        rows = [line.split(",") for line in table.decode().splitlines()]
        place = rows[0].index(column)
        return "\r\n".join(",".join([*parts[:place], *parts[place + 1 :]]) for parts in rows).encode()

    return spoil


def _former(word: str, malignancy: str, *, everywhere: bool = False) -> Callable[[bytes], bytes]:
    """Put the former vocabulary in place of the paths: nevi, and in the spoiled row what is given."""

    def spoil(table: bytes) -> bytes:
        header, *rows = [line.split(",") for line in table.decode().splitlines()]
        kept = [place for place, name in enumerate(header) if not name.startswith("diagnosis")]
        spoiled = [",".join([*(header[place] for place in kept), "diagnosis", "benign_malignant"])]
        for parts in rows:
            is_spoiled = everywhere or parts[0] == isic_id(SPOILED)
            stated = (word, malignancy) if is_spoiled else ("nevus", "benign")
            spoiled.append(",".join([*(parts[place] for place in kept), *stated]))
        return "\r\n".join(spoiled).encode()

    return spoil


def _first_api(table: bytes) -> bytes:
    """Name the columns as the archive's first API did, flattened."""
    names, *rows = table.decode().splitlines()
    former = {"isic_id": "name", "copyright_license": "dataset.license", "image_type": "meta.acquisition.image_type"}
    clinical = {name: f"meta.clinical.{name}" for name in ("age_approx", "diagnosis", "benign_malignant")}
    header = ",".join({**former, **clinical}.get(name, name) for name in names.split(","))
    return "\r\n".join([header, *rows]).encode()


def _shuffled(table: bytes) -> bytes:
    rows = [line.split(",") for line in table.decode().splitlines()]
    return "\n\n".join(",".join(reversed(parts)) for parts in [rows[0], *reversed(rows[1:])]).encode()


def _repeated_row(table: bytes) -> bytes:
    return table + next(line for line in table.splitlines(keepends=True) if line.startswith(_ID))


TABLE_CASES = (
    TableCase("begins with a byte order mark", Arrived("the mark is skipped"), lambda table: b"\xef\xbb\xbf" + table),
    TableCase("other order of rows and columns, empty lines between", Arrived("as it says"), _shuffled),
    TableCase("a column that nobody knows", Arrived("the column is kept with the facts"), _cells("shoe_size", "43")),
    TableCase(
        "a cell with the TAB that guards against formulas",
        Arrived("without the TAB", "attribution", "=Clinic A"),
        _cells("attribution", "\t=Clinic A"),
    ),
    TableCase(
        "a formula without its guard",
        Arrived("as text; nothing computes it", "attribution", "=HYPERLINK(1)"),
        _cells("attribution", "=HYPERLINK(1)"),
    ),
    TableCase(
        "a quoted line break in a cell",
        Arrived("as one cell", "attribution", "Clinic A\nWard 3"),
        _cells("attribution", '"Clinic A\nWard 3"'),
    ),
    TableCase("a spreadsheet's 45.0 for 45", Arrived("as the number it is"), _cells("age_approx", "45.0")),
    TableCase("an age in words", Reported("is not a number", "set to unknown"), _cells("age_approx", "old")),
    TableCase(
        "an age of 4500",
        Reported("is not between 0 and 120 years", "set to unknown"),
        _cells("age_approx", "4500"),
    ),
    TableCase("a sex that is none", Reported("is none of female, male", "set to unknown"), _cells("sex", "M")),
    TableCase(
        "a site that is none",
        Reported("has no counterpart among the eight sites of the challenge", "set to unknown"),
        _cells("anatom_site_1", "Left thigh; see letter"),
    ),
    TableCase(
        "a row without a diagnosis",
        Reported("is absent, and 'Benign melanocytic proliferations' alone does not name one of the eight classes"),
        _cells("diagnosis_3", ""),
    ),
    TableCase(
        "a row without a licence",
        Reported("is none of the accepted CC-0, CC-BY, CC-BY-NC"),
        _cells("copyright_license", ""),
    ),
    TableCase(
        "a patient_id of 0",
        Reported("is a placeholder, not an id", "set to unknown"),
        _cells("patient_id", "0"),
    ),
    TableCase(
        "a lesion_id of NA",
        Reported("is a placeholder, not an id", "set to unknown"),
        _cells("lesion_id", "NA"),
    ),
    TableCase("a patient_id of 007", Arrived("as text", "patient_id", "007"), _cells("patient_id", "007")),
    TableCase(
        "a clinical close-up",
        Reported("is none of the accepted dermoscopic, not stated"),
        _cells("image_type", "clinical: close-up"),
    ),
    TableCase(
        "a tile of confocal microscopy",
        Reported("is none of the accepted dermoscopic, not stated"),
        _cells("image_type", "RCM: tile"),
    ),
    TableCase("no word on the kind of image", Arrived("as it may be dermoscopic"), _cells("image_type", "")),
    TableCase(
        "an older isic-cli's diagnosis: nevus, benign_malignant: benign",
        Arrived("by the word", "diagnosis", "NV"),
        _former("nevus", "benign"),
    ),
    TableCase(
        "an older isic-cli's diagnosis: lentigo NOS",
        Reported(f"is none of the eight classes ({', '.join(CLASS_ORDER)})"),
        _former("lentigo NOS", "benign"),
    ),
    TableCase(
        "an older isic-cli's diagnosis: melanoma, benign_malignant: benign",
        Reported("contradicts the diagnosis, 'melanoma'"),
        _former("melanoma", "benign"),
    ),
    TableCase(
        "benign_malignant and no diagnosis",
        Refused(ManifestError, "download the table again with a current isic-cli"),
        _former("", "benign", everywhere=True),
    ),
    TableCase(
        "diagnosis_1 and nothing below it",
        Refused(ManifestError, "'Benign' alone does not name one of the eight classes"),
        lambda table: _without("diagnosis_2")(_without("diagnosis_3")(table)),
    ),
    TableCase(
        "names of a downloader of the first API: name, meta.clinical.…, dataset.license",
        Arrived("by today's names", "diagnosis", "NV"),
        lambda table: _first_api(_former("nevus", "benign")(table)),
    ),
    TableCase("no table", Refused(ManifestError, "found none"), lambda table: None),
    TableCase("an empty table", Refused(ManifestError, "an empty file"), lambda table: b""),
    TableCase("a header alone", Refused(ConfigError, "found none"), lambda table: table.splitlines()[0]),
    TableCase("no column isic_id", Refused(ManifestError, "a column isic_id"), _replaced(b"isic_id,", b"image,")),
    TableCase(
        "no columns of diagnosis",
        Refused(ManifestError, "the archive gives no diagnosis"),
        lambda table: _without("diagnosis_1")(_without("diagnosis_2")(_without("diagnosis_3")(table))),
    ),
    TableCase(
        "no column of licences",
        Refused(ManifestError, "is none of the accepted"),
        _without("copyright_license"),
    ),
    TableCase("one id twice", Refused(ManifestError, "each image once"), _repeated_row),
    TableCase(
        "one column twice",
        Refused(ManifestError, "each column once"),
        _replaced(b"diagnosis_2,", b"diagnosis_1,"),
    ),
    TableCase(
        "an id that is a path",
        Refused(ManifestError, "ids such as ISIC_0024306"),
        _replaced(_ID, b"../../etc/passwd"),
    ),
    TableCase(
        "an id in small letters", Refused(ManifestError, "ids such as ISIC_0024306"), _replaced(_ID, _ID.lower())
    ),
    TableCase(
        "a row with a cell too many", Refused(ManifestError, "cells in row"), _cells("attribution", "Clinic A,B")
    ),
    TableCase(
        "a quotation mark that never ends", Refused(ManifestError, "comma-separated"), _cells("sex", '"female')
    ),
    TableCase(
        "semicolons between the cells",
        Refused(ManifestError, "semicolons"),
        _replaced(b",", b";"),
    ),
    TableCase("UTF-16", Refused(ManifestError, "UTF-8"), lambda table: table.decode().encode("utf-16")),
    TableCase(
        "Latin-1 with an umlaut",
        Refused(ManifestError, "UTF-8"),
        _replaced(b"Clinic A", "Universitätsklinik".encode("latin-1")),
    ),
    TableCase(
        "a NUL byte in a cell",
        Arrived("as a character like others", "attribution", "Clinic\0A"),
        _cells("attribution", "Clinic\0A"),
    ),
    TableCase(
        "a cell of 2 million characters",
        Refused(ManifestError, "larger than"),
        _cells("attribution", "x" * 2_000_000),
    ),
)
