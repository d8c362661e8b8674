"""The run that shows what comes of bad input, with what holds for all of it.

Two good images are there from an earlier run. Then the archive lists them again with others, of which some, or the
table, or the answers are spoiled. Whatever comes of it, what was stored stays stored and whole. At last the fault is
gone, and a rerun completes with transfers of what is missing alone.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lesion_core.errors import LesionError, ShortfallError
from lesion_core.images import decode
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.snapshot import read_images, read_issues
from lesion_core.isic.source import ArchiveSource
from lesion_core.refs import SnapshotRef
from lesion_core.stores.folders import list_folders, materialise
from lesion_core.stores.local import LocalStore
from tests.core.isic.faulty import FaultyServer, faulty_server
from tests.core.isic.folders import isic_id, jpeg
from tests.faults.case import (
    BESIDE,
    EARLIER,
    QUICK,
    SPOILED,
    AnswerCase,
    ImageCase,
    TableCase,
    answer_soundly,
    numbers,
    serve_answers,
    serve_files,
    serve_table,
)
from tests.faults.expected import Happening, Outcome, cleaned


@dataclass(frozen=True, slots=True)
class Trial:
    """What a run into bad input left."""

    store: LocalStore
    error: str = ""
    words: str = ""
    images: pd.DataFrame = field(default_factory=pd.DataFrame)
    issues: pd.DataFrame = field(default_factory=pd.DataFrame)

    def outcome(self, number: int) -> Outcome:
        """Return what came of one image, or of the listing as a whole."""
        if self.error:
            return Outcome("refused", error=self.error, words=self.words)
        image = self.images.loc[isic_id(number)] if isic_id(number) in self.images.index else None
        body = None if image is None else self.store.read(str(image.image_key))
        named_rows = self.issues[self.issues["isic_id"].isin(["", isic_id(number)])]
        if named_rows.empty:
            return Outcome("used", image=image, body=body)
        words = "; ".join(named_rows["reason"])
        return Outcome(_happened(named_rows.iloc[0]), words=cleaned(words), image=image, body=body)


def _happened(issue: pd.Series) -> Happening:
    if not issue["isic_id"]:
        return "missed"
    return "left out" if issue["outcome"] == "excluded" else "set to unknown"


@dataclass(frozen=True, slots=True)
class Bench:
    """What the cases share.

    Attributes:
        sound: The server of an archive that is in order again; each case says what it has.
        earlier: A store after a run without any fault.
        snapshot: What that run made.
    """

    sound: FaultyServer
    earlier: Path
    snapshot: SnapshotRef


@contextlib.contextmanager
def made_ready(place: Path) -> Iterator[Bench]:
    """Run the server, and the earlier run, below ``place``."""
    with faulty_server() as sound:
        answer_soundly(sound, EARLIER)
        snapshot = ingest(_source(sound.url), LocalStore(place), patience=QUICK)
        yield Bench(sound, place, snapshot)


def try_images(cases: Sequence[ImageCase], place: Path, bench: Bench) -> list[Outcome]:
    """Return what comes of each file, all in one archive."""
    files = [case.make() for case in cases]
    spoiled = range(10, 10 + len(files))
    trial = _run(lambda: serve_files(files, place / "planted"), spoiled, place, bench)
    return [trial.outcome(number) for number in spoiled]


def try_table(case: TableCase, place: Path, bench: Bench) -> Outcome:
    """Return what comes of a table."""
    return _run(lambda: serve_table(case, place / "planted"), [SPOILED], place, bench).outcome(SPOILED)


def try_answers(case: AnswerCase, place: Path, bench: Bench) -> Outcome:
    """Return what comes of an archive's answers."""
    trial = _run(lambda: serve_answers(case), [SPOILED], place, bench, patience=case.patience, listing=case.listing)
    return trial.outcome(SPOILED)


def _run(
    serve: Callable[[], AbstractContextManager[str]],
    spoiled: Sequence[int],
    place: Path,
    bench: Bench,
    *,
    patience: Patience = QUICK,
    listing: str = "auto",
) -> Trial:
    """Play all acts below ``place``."""
    shutil.copytree(bench.earlier, place / "store")
    store = LocalStore(place / "store")
    trial = _meet(serve, spoiled, store, place, patience, listing)
    assert bench.snapshot in _check_whole(store)
    _rerun(store, numbers(spoiled), bench.sound)
    assert bench.snapshot in _check_whole(store)
    return trial


def _meet(
    serve: Callable[[], AbstractContextManager[str]],
    spoiled: Sequence[int],
    store: LocalStore,
    place: Path,
    patience: Patience,
    listing: str,
) -> Trial:
    """Run into the fault: without any tolerance, then, where that is what it takes, with some."""
    try:
        with serve() as url:
            source, is_short = _source(url, listing=listing), False
            try:
                snapshot = ingest(source, store, patience=patience)
            except ShortfallError as shortfall:
                is_short = True
                _check_short(shortfall, spoiled, store)
                snapshot = ingest(source.model_copy(update={"tolerance": 0.9}), store, patience=patience)
    except LesionError as error:
        return Trial(store, type(error).__name__, cleaned(str(error).replace(str(place / "planted"), "FOLDER")))
    images = read_images(store, snapshot, place / "cache").set_index("isic_id")
    issues = read_issues(store, snapshot, place / "cache")
    assert {isic_id(number) for number in (*EARLIER, *BESIDE)} <= set(images.index)
    assert snapshot.n_images == len(images)
    named = issues[issues["isic_id"] != ""]
    assert is_short == (len(named) < len(issues) or issues["stage"].isin(["download", "decode"]).any())
    assert snapshot.n_excluded == (named["outcome"] == "excluded").sum() or len(named) < len(issues)
    named_rows = set(images.index) | set(named["isic_id"])
    assert named_rows == {isic_id(number) for number in numbers(spoiled)} or len(named) < len(issues)
    return Trial(store, images=images, issues=issues)


def _check_short(shortfall: ShortfallError, spoiled: Sequence[int], store: LocalStore) -> None:
    """See that a run which ended because of the spoiled images has stored all others."""
    assert set(shortfall.isic_ids) <= {isic_id(number) for number in spoiled}
    assert _stored(store) >= {*EARLIER, *BESIDE}
    _check_whole(store)


def _rerun(store: LocalStore, everyone: Sequence[int], sound: FaultyServer) -> None:
    """Complete what is missing, and see that nothing else is transferred."""
    missing = set(everyone) - _stored(store)
    answer_soundly(sound, everyone)
    sound.requests.clear()
    snapshot = ingest(_source(sound.url), store, patience=QUICK)
    assert (snapshot.n_images, snapshot.n_excluded) == (len(everyone), 0)
    assert {path for path in sound.requests if path.endswith(".jpg")} == {f"/{number}.jpg" for number in missing}
    assert _stored(store) == set(everyone)


def _source(url: str, **options: object) -> ArchiveSource:
    return ArchiveSource.model_validate({"url": url, "connections": 3, **options})


def _stored(store: LocalStore) -> set[int]:
    """Return the numbers of the images whose raw bytes are stored."""
    return {int(key.split("/")[1].removeprefix("ISIC_")) for key in store.list("archive/")}


def _check_whole(store: LocalStore) -> list[SnapshotRef]:
    """Check that all that is stored is whole, and that nothing half-written lies about; return the snapshots."""
    for key in store.list("archive/"):
        body = store.read(key)
        assert Path(key).stem == hashlib.sha256(body).hexdigest(), key
        decode(body, image_id=key)
    for number in (*EARLIER, *BESIDE):
        for key in store.list(f"archive/{isic_id(number)}/"):
            assert store.read(key) == jpeg(number)
    assert store.root is not None
    assert [path for path in store.root.rglob(".*") if path.name != ".lock"] == []
    snapshots = []
    for folder, index, sha256 in list_folders(store, "snapshots/"):
        # Verifies every file; a local store serves them where they are.
        materialise(store, folder, store.root.with_name("cache"))
        snapshots.append(
            SnapshotRef(id=folder.removeprefix("snapshots/"), key=folder, sha256=sha256, **index.summary)
        )
    return snapshots
