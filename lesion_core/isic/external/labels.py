"""What an external test is asked for, and which classes its labels stand for."""

from collections.abc import Iterable, Mapping

from pydantic import Field

from lesion_core.errors import ConfigError
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.types import Licence, Value

EXTERNAL_NAME = "external.json"
LEFT_OUT_NAME = "left_out.csv"
LEFT_OUT_COLUMNS = ("isic_id", "reason", "detail")
DATASET_PREFIX = "external-"
_NONE = "none"
_COMMENT = "#"
Classes = tuple[Diagnosis, ...]


class ExternalTest(Value):
    """A folder of images with a table of labels, and what it is called as a test set."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,53}$",
        description="Name of the test set, in reports and in the store: 'ham10000'",
    )
    folder: str = Field(
        min_length=1,
        description="Folder on the worker's machine: a challenge's set (images, NAME_GroundTruth.csv and, if any, "
        "NAME_Metadata.csv), or images with metadata.csv as isic-cli leaves them",
    )
    labels: tuple[str, ...] = Field(
        default=(),
        description="What labels mean: 'AKIEC=AK|SCC' (an answer of either counts as right), 'angioma=VASC', "
        "'SCC=none' (left out). Labels that the archive's vocabulary knows need none",
    )
    labels_file: str = Field(default="", description="File with more of them, one a line")
    licence: Licence | None = Field(default=None, description="Licence of the images whose table states none")
    attribution: str = Field(default="", max_length=500, description="Whom to credit where the table does not say")

    @property
    def dataset(self) -> str:
        """Name of the dataset that is made of it."""
        return f"{DATASET_PREFIX}{self.name}"


class MappedLabel(Value):
    """One label of the table, and what it stands for."""

    label: str
    classes: Classes = Field(min_length=1, description="In CLASS_ORDER; an answer of any of them counts as right")
    n_images: int = Field(ge=0, description="Usable images with it")

    def in_words(self) -> str:
        """Return 'AKIEC = AK or SCC'."""
        return f"{self.label} = {' or '.join(self.classes)}"


class ExternalSet(Value):
    """Content of ``external.json``: what an external test set is, whichever model is measured on it."""

    name: str
    labels: tuple[MappedLabel, ...] = Field(description="Every label that stands for a class, sorted")
    n_listed: int = Field(ge=0, description="Rows of the table")
    left_out: dict[str, int] = Field(description="Images left out, by reason; left_out.csv names them")

    @property
    def pools(self) -> tuple[Classes, ...]:
        """Classes that count as one, each pool in CLASS_ORDER; sorted."""
        return pools_of(one.classes for one in self.labels)


def parse_labels(lines: Iterable[str]) -> dict[str, Classes]:
    """Return what labels stand for, from ``label=CLASS``, ``label=CLASS|CLASS`` and ``label=none`` (no classes).

    Empty lines and those that begin with '#' are passed over.

    Raises:
        ConfigError: A line that is none of these, an unknown class, or one label with two meanings.
    """
    found: dict[str, Classes] = {}
    for line in lines:
        text = line.strip()
        if not text or text.startswith(_COMMENT):
            continue
        label, sign, stated = (part.strip() for part in text.rpartition("="))
        if not sign or not label:
            raise ConfigError(f"expected label=CLASS, label=CLASS|CLASS or label=none, got {text!r}")
        classes = _classes(text, stated)
        if found.setdefault(label, classes) != classes:
            raise ConfigError(f"expected one meaning of the label {label!r}, got {_words(found[label])} and {text!r}")
    return found


def pools_of(meanings: Iterable[Classes]) -> tuple[Classes, ...]:
    """Return the sets of more than one class, sorted."""
    return tuple(sorted({classes for classes in meanings if len(classes) > 1}))


def check_pools(meanings: Mapping[str, Classes]) -> None:
    """Refuse labels whose classes overlap without being the same: an answer of such a class would count twice.

    Raises:
        ConfigError: Naming two such labels.
    """
    for label, classes in meanings.items():
        for other, others in meanings.items():
            if set(classes) & set(others) and classes != others:
                raise ConfigError(
                    "expected labels whose classes are the same or have none in common, got "
                    f"{label!r} = {_words(classes)} and {other!r} = {_words(others)}; map both to the same classes, "
                    f"or leave one out with '{other}=none'"
                )


def _classes(line: str, stated: str) -> Classes:
    if stated.casefold() == _NONE:
        return ()
    names = {name.strip() for name in stated.split("|")}
    if unknown := sorted(names - set(CLASS_ORDER)):
        raise ConfigError(
            f"expected classes of {', '.join(CLASS_ORDER)}, or none, in {line!r}, got {', '.join(map(repr, unknown))}"
        )
    return tuple(name for name in CLASS_ORDER if name in names)


def _words(classes: Classes) -> str:
    return " or ".join(classes) or _NONE
