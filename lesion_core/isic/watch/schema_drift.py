"""When a change of the archive is one of its schema, and that in words.

Single images are corrected all the time; a schema changes for many at once. An image keeps its facts from one
listing to the next, so only images in **both** listings are looked at: a large new collection with few facts lowers
a field's share without anything being lost. Of those that had a value, class or site before, at most ``TOLERATED``
may have lost or changed it, and it takes at least ``FEWEST`` to speak of many: a renamed value touches all images of
it, a correction a handful. Judged class by class and site by site, because the rarest class (dermatofibroma, one
image in a hundred) may be lost whole within a tolerance over all. A field that is in no image any more counts from
the first image on.
"""

from collections.abc import Collection, Iterator

from pydantic import Field

from lesion_core.errors import SchemaDrift
from lesion_core.isic.watch.changes import ArchiveChanges, FieldCount, Meaning, NewValue
from lesion_core.types import Value

TOLERATED = 0.05
FEWEST = 5
# Images that may be gone at once before somebody looks; the archive is asked about each of them, one at a time.
FEWEST_GONE = 20
MOST_GONE = 2000
GONE = "images"


class Drift(Value):
    """One change that may lose data."""

    name: str = Field(
        description="A column's name, 'class', a field such as 'age', 'image type' or 'images'; accepted by it"
    )
    lines: tuple[str, ...] = Field(description="Lines of a diff")


def find_drift(changes: ArchiveChanges, accept: Collection[str] = ()) -> tuple[Drift, ...]:
    """Return the changes that may lose data and are not accepted by name."""
    found = [*_gone(changes), *_fields(changes), *_meanings(changes)]
    return tuple(drift for drift in found if drift.name not in accept)


def require_no_drift(drift: Collection[Drift], changes: ArchiveChanges, *, previous: str, current: str) -> None:
    """Raise ``SchemaDrift`` with a readable diff where there is any; the ids are those of the listings."""
    if not drift:
        return
    names = sorted({each.name for each in drift})
    unknown = [value for value in changes.new_values if value.n_mapped < value.n_images]
    raise SchemaDrift(
        f"expected the archive to describe its images as in listing {previous}, but data would be lost:\n\n"
        f"{diff(drift, changes, previous=previous, current=current)}\n\n"
        "Nothing was downloaded or trained. Where the archive is right, correct lesion_core/isic/taxonomy.py if "
        "images lose class or site; to go on with what is left, run the flow again with the parameter "
        f"accept: [{', '.join(names)}]",
        names=names,
        missing=[each.name for each in changes.fields if each.n_previous and not each.n_current],
        unknown=[f"{value.field}={value.value}" for value in unknown],
    )


def diff(drift: Collection[Drift], changes: ArchiveChanges, *, previous: str, current: str) -> str:
    """Return the drift in the form of a unified diff, with new fields and new values that may explain it."""
    header = (
        f"--- {previous}: {changes.n_previous:,} images",
        f"+++ {current}: {changes.n_current:,} images, {changes.n_common:,} of them in both",
    )
    lines = [line for each in drift for line in each.lines]
    news = [f"+{each.name:<22} {_share(each.n_current, changes.n_current)}  {_some(each)}" for each in _new(changes)]
    return "\n".join([*header, *lines, *news, *(_value_line(value) for value in changes.new_values[:20])])


def _new(changes: ArchiveChanges) -> Iterator[FieldCount]:
    return (each for each in changes.fields if each.n_current and not each.n_previous)


def _value_line(value: NewValue) -> str:
    return (
        f"+{value.field + ' = ' + repr(value.value):<22} new: {value.n_images:,} images such as {value.example}, "
        f"{value.n_mapped:,} of them mapped"
    )


def _gone(changes: ArchiveChanges) -> Iterator[Drift]:
    n_gone = changes.gone.n
    if n_gone > min(max(FEWEST_GONE, TOLERATED * changes.n_previous), MOST_GONE):
        shown = ", ".join(changes.gone.first[:5])
        yield Drift(
            name=GONE, lines=(f"-{n_gone:,} images, {_share(n_gone, changes.n_previous)}, are gone: {shown}, …",)
        )


def _fields(changes: ArchiveChanges) -> Iterator[Drift]:
    for each in changes.fields:
        n_lost = each.n_common - each.n_kept
        if each.n_common and not each.n_current:
            before = _share(each.n_previous, changes.n_previous)
            yield Drift(name=each.name, lines=(f"-{each.name:<22} {before}  {_some(each)}",))
        elif _is_many(n_lost, each.n_common):
            shares = (_share(n, changes.n_common) for n in (each.n_common, each.n_kept))
            lines = (f"{sign}{each.name:<22} {share} in both" for sign, share in zip("-+", shares, strict=True))
            yield Drift(name=each.name, lines=tuple(lines))


def _meanings(changes: ArchiveChanges) -> Iterator[Drift]:
    for each in changes.meanings:
        if _is_many(each.n_lost + each.n_other, each.n_before):
            yield Drift(name=each.kind, lines=tuple(_meaning_lines(each)))


def _meaning_lines(each: Meaning) -> Iterator[str]:
    what = f"{each.kind} {each.value}"
    yield f"-{what:<22} {each.n_before:,} of the images in both"
    n_kept = each.n_before - each.n_lost - each.n_other
    yield f"+{what:<22} {n_kept:,}; {each.n_lost:,} have none now, {each.n_other:,} another"
    yield from (f"   {change.isic_id}: {change.before} → {change.after}" for change in each.first)


def _is_many(n_lost: int, n_before: int) -> bool:
    return n_lost >= FEWEST and n_lost > TOLERATED * n_before


def _share(n: int, n_all: int) -> str:
    return f"{n / n_all if n_all else 0:>6.1%} of images"


def _some(each: FieldCount) -> str:
    return ", ".join(repr(value) for value in each.examples)
