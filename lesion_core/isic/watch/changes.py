"""What an archive says now against what it said before: one pass over two listings, sorted by id.

Memory is bounded by the archive's vocabulary, not by its images: counts, sets of values, and a few examples.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import Field

from lesion_core import archive_fields
from lesion_core.errors import ManifestError
from lesion_core.fields.kinds import AnyField, CategoryField
from lesion_core.fields.table import FIELDS, categories
from lesion_core.isic.source import IMAGE_TYPES
from lesion_core.isic.statements import Statement
from lesion_core.isic.taxonomy import NOT_STATED, Unmapped, classify, image_type_of, read_field
from lesion_core.labels import Diagnosis
from lesion_core.types import LICENCE_ORDER, JsonDict, Value

SHOWN = 20
LICENCE_FIELD = archive_fields.LICENCE
_DIAGNOSES = archive_fields.DIAGNOSIS
_MANIPULATIONS = ("instrument only", "altered", "synthetic")
# A field that turns into free text must not fill the memory; what is beyond this is counted as one value.
_MOST_VALUES = 5000
_OTHERS = "(further values)"
_EXAMPLES = 3


def _is_read(field: AnyField) -> Callable[[Statement], bool]:
    return lambda statement: not isinstance(read_field(field, statement.facts), Unmapped | None)


def _meaning(field: AnyField) -> Callable[[JsonDict], object]:
    """Return what a statement says of a field: its word, or that there is a number."""
    if isinstance(field, CategoryField):
        return lambda facts: read_field(field, facts)
    return lambda facts: "known" if isinstance(read_field(field, facts), float) else None


# By these columns images get class, metadata in words, kind and their mark as synthetic; each with: is this statement
# mapped?
VOCABULARY: Mapping[str, Callable[[Statement], bool]] = {
    **dict.fromkeys(_DIAGNOSES, lambda statement: isinstance(classify(statement.facts), Diagnosis)),
    **{name: _is_read(field) for field in reversed(categories()) for name in field.archive_columns},
    archive_fields.MANIPULATION: lambda statement: statement.facts[archive_fields.MANIPULATION] in _MANIPULATIONS,
    archive_fields.IMAGE_TYPE: lambda statement: image_type_of(statement.facts) in IMAGE_TYPES,
    LICENCE_FIELD: lambda statement: statement.licence in LICENCE_ORDER,
}
# What a statement means to a model, and by which fields.
MEANINGS: Mapping[str, Callable[[JsonDict], object]] = {
    "class": classify,
    **{field.noun: _meaning(field) for field in FIELDS},
    "image type": lambda facts: None if image_type_of(facts) == NOT_STATED else image_type_of(facts),
}
_FIELDS_OF = {
    "image type": (archive_fields.IMAGE_TYPE,),
    "class": _DIAGNOSES,
    **{field.noun: field.archive_columns for field in FIELDS},
}


class Ids(Value):
    """How many images, and the first of them."""

    n: int = Field(ge=0)
    first: tuple[str, ...] = Field(default=(), max_length=SHOWN)


class Change(Value):
    """One image of which something is said otherwise now."""

    isic_id: str
    before: str
    after: str


class Changed(Value):
    """How many images of which something is said otherwise now, and the first of them."""

    n: int = Field(ge=0)
    first: tuple[Change, ...] = Field(default=(), max_length=SHOWN)


class FieldCount(Value):
    """In how many images one field has a value."""

    name: str
    n_previous: int = Field(ge=0, description="Of the images listed before")
    n_current: int = Field(ge=0, description="Of the images listed now")
    n_common: int = Field(ge=0, description="Of the images in both listings: had a value before")
    n_kept: int = Field(ge=0, description="Of those, have one now")
    examples: tuple[str, ...] = Field(description="Some values, of now or, where there are none, of before")


class NewValue(Value):
    """A value that no image had before, of a column by which images get class, metadata or licence."""

    field: str
    value: str
    n_images: int = Field(ge=1)
    n_mapped: int = Field(ge=0, description="Of those, images that the taxonomy has a place for all the same")
    example: str = Field(description="Id of an image")


class Meaning(Value):
    """What became of the images of one class, or one value of a field, that are in both listings."""

    kind: str = Field(description="'class', 'image type', or what a metadata field is called: 'age'")
    value: str
    n_before: int = Field(ge=0)
    n_lost: int = Field(ge=0, description="Have none now")
    n_other: int = Field(ge=0, description="Have another now")
    first: tuple[Change, ...] = Field(description="Some of those, with the deciding fields")


class ArchiveChanges(Value):
    """The difference between two listings of an archive."""

    n_previous: int = Field(ge=0)
    n_current: int = Field(ge=0)
    n_common: int = Field(ge=0, description="Images in both")
    new: Ids
    gone: Ids = Field(description="Listed before and not now: withdrawn, or in another collection")
    relabelled: Changed = Field(description="Another path of the diagnosis")
    relicensed: Changed
    fields: tuple[FieldCount, ...]
    new_values: tuple[NewValue, ...]
    meanings: tuple[Meaning, ...]

    @property
    def is_none(self) -> bool:
        """Whether nothing that is compared differs."""
        counts = (self.new.n, self.gone.n, self.relabelled.n, self.relicensed.n, len(self.new_values))
        moved = any(each.n_lost or each.n_other for each in self.meanings)
        faded = any(each.n_kept < each.n_common for each in self.fields)
        return not (any(counts) or moved or faded or any(each.n_previous == 0 for each in self.fields))


def compare(previous: Iterable[Statement], current: Iterable[Statement]) -> ArchiveChanges:
    """Return what changed between two listings, each sorted by id without repetition.

    Raises:
        ManifestError: A listing is not sorted.
    """
    comparison = _Comparison()
    for before, after in paired(previous, current):
        comparison.add(before, after)
    return comparison.result()


def paired(
    previous: Iterable[Statement], current: Iterable[Statement]
) -> Iterator[tuple[Statement | None, Statement | None]]:
    """Yield what was and is said of each image, by id; ``None`` where a listing does not have it.

    Raises:
        ManifestError: A listing is not sorted.
    """
    earlier, later = _ascending(previous), _ascending(current)
    before, after = next(earlier, None), next(later, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before.isic_id < after.isic_id):
            yield before, None
            before = next(earlier, None)
        elif before is None or after.isic_id < before.isic_id:
            yield None, after
            after = next(later, None)
        else:
            yield before, after
            before, after = next(earlier, None), next(later, None)


def _ascending(statements: Iterable[Statement]) -> Iterator[Statement]:
    last = ""
    for statement in statements:
        if statement.isic_id <= last:
            raise ManifestError(
                f"expected a listing sorted by id, each image once, got {statement.isic_id} after {last}; list the "
                "archive again"
            )
        last = statement.isic_id
        yield statement


@dataclass(slots=True)
class _Sample:
    """A count, and the first few of what was counted."""

    n: int = 0
    first: list[Change] = field(default_factory=list)

    def add(self, isic_id: str, before: str = "", after: str = "", most: int = SHOWN) -> None:
        self.n += 1
        if len(self.first) < most:
            self.first.append(Change(isic_id=isic_id, before=before, after=after))

    def ids(self) -> Ids:
        return Ids(n=self.n, first=tuple(change.isic_id for change in self.first))

    def changed(self) -> Changed:
        return Changed(n=self.n, first=tuple(self.first))


@dataclass(slots=True)
class _Seen:
    """How often a value was met, how often mapped, and where first."""

    n: int = 0
    n_mapped: int = 0
    example: str = ""


class _Side:
    """Fields and vocabulary of one listing."""

    def __init__(self) -> None:
        self.n_images = 0
        self.fields: Counter[str] = Counter()
        self.examples: defaultdict[str, list[str]] = defaultdict(list)
        self.values: defaultdict[str, dict[str, _Seen]] = defaultdict(dict)

    def add(self, statement: Statement) -> None:
        self.n_images += 1
        self.fields.update(statement.facts.keys())
        for name, value in statement.facts.items():
            examples = self.examples[name]
            if len(examples) < _EXAMPLES and str(value) not in examples:
                examples.append(str(value))
        for name, is_mapped in VOCABULARY.items():
            value = statement.licence if name == LICENCE_FIELD else statement.facts.get(name)
            if value is not None:
                seen = self._seen(name, str(value))
                seen.n += 1
                seen.n_mapped += is_mapped(statement)
                seen.example = seen.example or statement.isic_id

    def _seen(self, name: str, value: str) -> _Seen:
        values = self.values[name]
        known = value if value in values or len(values) < _MOST_VALUES else _OTHERS
        return values.setdefault(known, _Seen())


class _Comparison:
    """The running comparison."""

    def __init__(self) -> None:
        self._before, self._after = _Side(), _Side()
        self._n_common = 0
        self._new, self._gone, self._relabelled, self._relicensed = _Sample(), _Sample(), _Sample(), _Sample()
        self._had: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._n_before: Counter[tuple[str, str]] = Counter()
        self._n_other: Counter[tuple[str, str]] = Counter()
        self._moved: defaultdict[tuple[str, str], _Sample] = defaultdict(_Sample)

    def add(self, before: Statement | None, after: Statement | None) -> None:
        if before is not None:
            self._before.add(before)
        if after is not None:
            self._after.add(after)
        if before is None and after is not None:
            self._new.add(after.isic_id)
        elif after is None and before is not None:
            self._gone.add(before.isic_id)
        elif before is not None and after is not None:
            self._add_both(before, after)

    def _add_both(self, before: Statement, after: Statement) -> None:
        self._n_common += 1
        self._had.update(before.facts.keys())
        self._kept.update(before.facts.keys() & after.facts.keys())
        if before.licence != after.licence:
            self._relicensed.add(before.isic_id, before.licence, after.licence)
        paths = described(before.facts, "class"), described(after.facts, "class")
        if paths[0] != paths[1]:
            self._relabelled.add(before.isic_id, *paths)
        for kind, meaning_of in MEANINGS.items():
            self._add_meaning(kind, before, after, meaning_of)

    def _add_meaning(
        self, kind: str, before: Statement, after: Statement, meaning_of: Callable[[JsonDict], object]
    ) -> None:
        was = meaning_of(before.facts)
        if was is None or isinstance(was, Unmapped):
            return
        at = kind, str(was)
        self._n_before[at] += 1
        now = was if before.facts == after.facts else meaning_of(after.facts)
        if now != was:
            words = described(before.facts, kind), described(after.facts, kind)
            self._moved[at].add(before.isic_id, *words, most=_EXAMPLES)
            self._n_other[at] += not (now is None or isinstance(now, Unmapped))

    def result(self) -> ArchiveChanges:
        return ArchiveChanges(
            n_previous=self._before.n_images,
            n_current=self._after.n_images,
            n_common=self._n_common,
            new=self._new.ids(),
            gone=self._gone.ids(),
            relabelled=self._relabelled.changed(),
            relicensed=self._relicensed.changed(),
            fields=tuple(self._fields()),
            new_values=tuple(self._new_values()),
            meanings=tuple(self._meanings()),
        )

    def _fields(self) -> Iterator[FieldCount]:
        for name in sorted(self._before.fields.keys() | self._after.fields.keys()):
            yield FieldCount(
                name=name,
                n_previous=self._before.fields[name],
                n_current=self._after.fields[name],
                n_common=self._had[name],
                n_kept=self._kept[name],
                examples=tuple((self._after if self._after.fields[name] else self._before).examples[name]),
            )

    def _new_values(self) -> Iterator[NewValue]:
        for name in VOCABULARY:
            known = self._before.values[name].keys()
            for value, seen in sorted(self._after.values[name].items()):
                if value not in known:
                    yield NewValue(
                        field=name, value=value, n_images=seen.n, n_mapped=seen.n_mapped, example=seen.example
                    )

    def _meanings(self) -> Iterator[Meaning]:
        for at in sorted(self._n_before):
            n_other, moved = self._n_other[at], self._moved.get(at, _Sample())
            yield Meaning(
                kind=at[0],
                value=at[1],
                n_before=self._n_before[at],
                n_lost=moved.n - n_other,
                n_other=n_other,
                first=tuple(moved.first),
            )


def described(facts: Mapping[str, object], kind: str) -> str:
    """Return the columns that decide a class or a metadata field, in words: 'Benign / … / Nevus'."""
    values = [str(facts[name]) for name in _FIELDS_OF[kind] if name in facts]
    return " / ".join(values) or "nothing"
