"""Everything that an archive lists, on disk while it is read: each image once, given back in the order of ids.

A listing may be long (the archive has some 500,000 images), comes in the archive's order, may repeat rows, and in
bulk comes as two files that have to be joined. A SQLite file takes it as it comes, so memory does not grow with it.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lesion_core.isic.statements import Statement, statement_from_row
from lesion_core.keys import canonical_json
from lesion_core.stores.filesystem import translated
from lesion_core.types import JsonDict

_SETTINGS = ("journal_mode = off", "synchronous = off", "cache_size = -16000", "temp_store = file")
_TABLE = (
    "create table image (isic_id text primary key, licence text not null, attribution text not null, "
    "facts text not null, url text) without rowid"
)
_FACT = "trim(cast(json_extract(facts, ?) as text))"
_BLOCK = 1000


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One listed image.

    Attributes:
        url: Where its file is; ``None`` where the archive names no file.
        facts_json: The statement's facts as they lie on disk; empty before they do.
    """

    statement: Statement
    url: str | None
    facts_json: str = field(default="", compare=False)


class Catalogue:
    """A listing as it grows; to be closed after use, which removes its file.

    Args:
        path: A file that does not exist yet.

    Raises:
        StoreRefused: No room or no permission there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _on_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, isolation_level=None)
            for setting in _SETTINGS:
                self._base.execute(f"pragma {setting}")
            self._base.execute(_TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()
        self._path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return int(self._base.execute("select count(*) from image").fetchone()[0])

    def clear(self) -> None:
        """Forget every row."""
        self._base.execute("delete from image")

    def add(self, rows: Iterable[CatalogueRow]) -> int:
        """Take rows whose image is not there yet; return how many those were."""
        texts = (
            (
                row.statement.isic_id,
                row.statement.licence,
                row.statement.attribution,
                row.statement.facts_json(),
                row.url,
            )
            for row in rows
        )
        with _on_disk(self._path), self._together():
            return self._base.executemany("insert or ignore into image values (?, ?, ?, ?, ?)", texts).rowcount

    def locate(self, urls: Iterable[tuple[str, str]]) -> int:
        """Note where files are, as (isic_id, address); return how many are of images that are listed."""
        pairs = ((url, isic_id) for isic_id, url in urls)
        with _on_disk(self._path), self._together():
            return self._base.executemany("update image set url = ? where isic_id = ?", pairs).rowcount

    def credit(self, attributions: Iterable[tuple[str, str]]) -> int:
        """Note whom images are attributed to, as (isic_id, attribution); return how many of them are listed."""
        pairs = ((attribution, isic_id) for isic_id, attribution in attributions)
        with _on_disk(self._path), self._together():
            return self._base.executemany("update image set attribution = ? where isic_id = ?", pairs).rowcount

    def complete(self, name: str, value: object, isic_ids: Iterable[str]) -> int:
        """Give listed images a fact that they lack; return how many those were."""
        n_completed = 0
        with _on_disk(self._path), self._together():
            for isic_id in isic_ids:
                found = self._base.execute("select facts from image where isic_id = ?", (isic_id,)).fetchone()
                facts = json.loads(found[0]) if found else {name: None}
                if name not in facts:
                    text = canonical_json({**facts, name: value}).decode()
                    self._base.execute("update image set facts = ? where isic_id = ?", (text, isic_id))
                    n_completed += 1
        return n_completed

    def remove(self, isic_ids: Iterable[str]) -> None:
        """Forget some images."""
        with _on_disk(self._path), self._together():
            self._base.executemany("delete from image where isic_id = ?", ((isic_id,) for isic_id in isic_ids))

    def missing_of(self, isic_ids: Iterable[str]) -> Iterator[str]:
        """Yield those of the ids that are not listed."""
        find = "select 1 from image where isic_id = ?"
        return (isic_id for isic_id in isic_ids if self._base.execute(find, (isic_id,)).fetchone() is None)

    def without_file(self, most: int) -> list[str]:
        """Return the first images whose file is unknown, sorted by id."""
        find = "select isic_id from image where url is null order by isic_id limit ?"
        return [isic_id for (isic_id,) in self._base.execute(find, (most,))]

    def rows(self) -> Iterator[CatalogueRow]:
        """Yield every image, sorted by id."""
        found = self._base.execute("select isic_id, licence, attribution, facts, url from image order by isic_id")
        while block := found.fetchmany(_BLOCK):
            for isic_id, licence, attribution, facts, url in block:
                yield CatalogueRow(statement_from_row(isic_id, licence, attribution, facts), url, facts)

    def frequent_values(self, name: str, *, more_than: int) -> list[tuple[str, int]]:
        """Return the values of one fact that more than so many images have, as text, and how many have each."""
        asked = (
            f"select {_FACT} as value, count(*) from image where value is not null and value != '' "
            "group by value having count(*) > ? order by value"
        )
        return [(str(value), int(n)) for value, n in self._base.execute(asked, (f"$.{name}", more_than))]

    def combinations(self, names: Sequence[str], name: str, value: str) -> list[tuple[JsonDict, int]]:
        """Return what the images with one value of a fact say under other names, and how many say the same."""
        columns = ", ".join(f"json_extract(facts, '$.{other}')" for other in names)
        places = ", ".join(str(number) for number in range(1, len(names) + 1))
        asked = f"select {columns}, count(*) from image where {_FACT} = ? group by {places}"
        return [
            ({other: fact for other, fact in zip(names, facts, strict=True) if fact is not None}, int(n))
            for *facts, n in self._base.execute(asked, (f"$.{name}", value))
        ]

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """Make many changes in one go; without a journal there is no way back, so what was changed stays."""
        self._base.execute("begin")
        try:
            yield
        finally:
            self._base.execute("commit")


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Raise what SQLite or the system says of a full or forbidden disk as the error of a store."""
    with translated(path):
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OSError(f"the listing cannot be written: {error}") from error
