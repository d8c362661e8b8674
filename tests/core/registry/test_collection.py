"""What is removed and what stays, whoever works in the store meanwhile and whenever the collection is interrupted."""

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from lesion_core.dataset.records import open_dataset
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError, StoreUnavailable
from lesion_core.evaluation.card import current_card
from lesion_core.evaluation.exposure import find_exposure
from lesion_core.evaluation.predictions import count_seen
from lesion_core.isic.listing import list_archive
from lesion_core.isic.mirror import running_mirror
from lesion_core.isic.snapshot import read_images
from lesion_core.isic.withdrawals import note_withdrawn, withdrawn_ids
from lesion_core.keys import channel_key, index_key
from lesion_core.registry.channels import approved_model, move_channel, rollback
from lesion_core.registry.collection import collect, condemn
from lesion_core.registry.decisions import list_decisions
from lesion_core.registry.inventory import FOLDER_KINDS, UNTOUCHED, take_inventory
from lesion_core.registry.ledger import Pointer, record, swap
from lesion_core.registry.protocol import ChannelEvent
from lesion_core.registry.retention import Plan, Row, Why, make_plan
from lesion_core.stores.folders import find, get_index, list_folders, materialise, publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from lesion_core.types import ArchiveSource, ModelRef, Progress
from tests.core.isic.folders import row, write_folder
from tests.core.registry.generations import Generations, make_generations

MONTH = datetime.timedelta(days=30)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def later(days: float = 40) -> Callable[[], datetime.datetime]:
    """A clock that is ahead of the store's."""
    return lambda: now() + datetime.timedelta(days=days)


@pytest.fixture(scope="session")
def generations(tmp_path_factory: pytest.TempPathFactory) -> Generations:
    return make_generations(tmp_path_factory.mktemp("generations"))


@pytest.fixture
def filled(store: Store, generations: Generations) -> Store:
    """Both generations, in a local directory and in MinIO."""
    generations.fill(store)
    return store


@pytest.fixture
def local(tmp_path: Path, generations: Generations) -> LocalStore:
    store = LocalStore(tmp_path / "local")
    generations.fill(store)
    return store


def approve(store: Store, model: ModelRef) -> None:
    move_channel(store, "approved", model, action="approve", approver="Dr. A", reason="better", clock=now)


def withdraw(store: Store, generations: Generations) -> None:
    note_withdrawn(store, [generations.withdrawn], archive="http://archive", last_seen=generations.old.snapshot.id)


def remove(
    store: Store,
    days: float = 40,
    sleep: Callable[[float], None] = lambda seconds: None,
    on_progress: Callable[[Progress], None] = lambda news: None,
) -> tuple[list[Row], Plan]:
    return collect(store, retention=MONTH, clock=later(days), sleep=sleep, on_progress=on_progress)


def folders(store: Store) -> set[str]:
    return {key for kind in FOLDER_KINDS for key, _, _ in list_folders(store, f"{kind}/")}


def require_sound(store: Store, cache: Path) -> None:
    """Every complete folder is whole, and so is what each dataset's snapshot names, withdrawn images excepted."""
    for key in folders(store):
        materialise(store, key, cache)
    there = set(store.list("archive/"))
    for key, _, _ in list_folders(store, "snapshots/"):
        named = (
            read_images(store, key, cache)
            .set_index("isic_id")["image_key"]
            .drop(withdrawn_ids(store), errors="ignore")
        )
        assert set(named) <= there


def test_a_dry_run_changes_nothing(local: LocalStore) -> None:
    before = {key: local.read(key) for key in local.list("")}
    plan = make_plan(local, retention=MONTH, now=later()())
    assert {row.kind for row in plan.rows(local)} == {*FOLDER_KINDS, "archive", "gates"} - {"data-reports"}
    assert {key: local.read(key) for key in local.list("")} == before


def test_what_no_channel_leads_to_goes_and_the_rest_is_sound(
    filled: Store, generations: Generations, tmp_path: Path
) -> None:
    old, new = generations.old, generations.new
    approve(filled, new.model)
    before = {key: filled.read(key) for key in filled.list("")}
    planned = make_plan(filled, retention=MONTH, now=later()()).rows(filled)
    rows, _ = remove(filled)
    assert [(row.kind, row.why) for row in rows] == [(row.kind, row.why) for row in planned]
    gone = {old.snapshot.key, old.dataset.key, old.model.key, old.report.key}
    assert not gone & folders(filled)
    assert {new.snapshot.key, new.dataset.key, new.model.key, new.report.key} <= folders(filled)
    assert not [key for key in filled.list("") if key.startswith(tuple(f"{key}/" for key in gone))]
    assert list_decisions(filled, old.model.id) == []
    assert len(list_decisions(filled, new.model.id)) == 1
    for isic_id in (generations.withdrawn, generations.only_old):  # in the old snapshot only
        assert list(filled.list(f"archive/{isic_id}/")) == []
    assert {key: filled.read(key) for key in filled.list("") if key in before} == {
        key: before[key] for key in filled.list("") if key in before
    }
    require_sound(filled, tmp_path / "cache")
    assert remove(filled)[0] == []


def test_nothing_younger_than_the_retention_goes(local: LocalStore) -> None:
    local.write("models/quick/0123456789ab/0123456789ab/model.keras", b"being written")
    before = set(local.list(""))
    assert remove(local, days=29)[0] == []
    assert set(local.list("")) == before


def test_a_retention_that_could_take_what_a_run_uses_is_refused(local: LocalStore) -> None:
    with pytest.raises(ConfigError, match="at least 1 day"):
        make_plan(local, retention=datetime.timedelta(hours=23), now=now())


def test_rollback_finds_what_it_needs(local: LocalStore, generations: Generations, tmp_path: Path) -> None:
    approve(local, generations.old.model)
    approve(local, generations.new.model)
    remove(local)
    assert {generations.old.model.key, generations.old.dataset.key, generations.old.snapshot.key} <= folders(local)
    state = rollback(local, "approved", approver="Dr. A", reason="worse", clock=now)
    assert state.model == generations.old.model
    require_sound(local, tmp_path / "cache")


def test_raw_bytes_of_a_withdrawn_image_go_at_once(local: LocalStore, generations: Generations) -> None:
    approve(local, generations.old.model)
    withdraw(local, generations)
    assert [key for key in local.list("archive/") if generations.withdrawn in key]
    rows, plan = remove(local, days=0)
    assert [(row.kind, row.why, row.n_objects) for row in rows] == [("archive", Why.WITHDRAWN, 1)]
    assert not [key for key in local.list("archive/") if generations.withdrawn in key]
    held = {holder.key: holder for holder in plan.holders}
    assert held[generations.old.dataset.key].isic_ids == (generations.withdrawn,)
    assert generations.old.model.id in held[generations.old.dataset.key].held_by


def test_pixels_of_a_withdrawn_image_go_once_another_model_is_approved(
    filled: Store, generations: Generations, tmp_path: Path
) -> None:
    old, new = generations.old, generations.new
    approve(filled, old.model)
    withdraw(filled, generations)
    _, plan = remove(filled, days=2)
    assert old.dataset.key in folders(filled)
    assert [holder.key for holder in plan.holders] == [old.dataset.key]
    approve(filled, new.model)
    rows, plan = remove(filled, days=2)  # long before the retention is over
    assert [(row.kind, row.why) for row in rows] == [("datasets", Why.HOLDS_WITHDRAWN)]
    assert plan.holders == ()
    assert old.dataset.key not in folders(filled)
    # The model stays, for a rollback, and its card and its next evaluation still know what it saw.
    assert rollback(filled, "approved", approver="Dr. A", reason="worse", clock=now).model == old.model
    assert find_exposure(filled, old.model).images == {"train": (generations.withdrawn,)}
    assert f"For training (1): {generations.withdrawn}" in current_card(filled, old.report)
    dataset = open_dataset(filled, new.dataset, tmp_path / "cache")
    rows_of_both = dataset.split("train")
    assert count_seen(filled, old.model, dataset, rows_of_both) > 0.9 * len(rows_of_both)


def test_what_a_run_may_be_using_keeps_even_withdrawn_pixels(local: LocalStore, generations: Generations) -> None:
    withdraw(local, generations)
    remove(local, days=0.9)
    assert generations.old.dataset.key in folders(local)
    remove(local, days=1.1)
    assert generations.old.dataset.key not in folders(local)


def test_a_model_that_others_started_from_stays(local: LocalStore, generations: Generations, tmp_path: Path) -> None:
    tuned = publish_tuned(local, generations, tmp_path)
    approve(local, tuned)
    remove(local)
    assert {generations.old.model.key, generations.old.dataset.key} <= folders(local)


def publish_tuned(store: Store, generations: Generations, place: Path) -> ModelRef:
    """Publish a model on the new dataset that started from the old model."""
    (place / "tuned").mkdir()
    (place / "tuned" / "model.keras").write_bytes(b"tuned")
    new, key = generations.new.model, "models/tuned/0123456789ab"
    summary = {"recipe": "tuned", "dataset": new.dataset.model_dump(mode="json"), "synthetic": False}
    inputs = {"start_from": generations.old.model.id}
    _, sha256 = publish(store, key, place / "tuned", step="train", step_version=1, inputs=inputs, summary=summary)
    return ModelRef(id="tuned/0123456789ab", key=key, sha256=sha256, **summary)


def test_what_others_keep_in_the_store_is_reported_and_left_alone(local: LocalStore) -> None:
    strange = ["notes.txt", "models/readme.md", "models/a/b/c.json", "archive/readme.txt", "backup/2025/x.tar"]
    for key in strange:
        local.write(key, b"mine")
    local.write(index_key("models/quick/0123456789ab"), b"{}")
    _, plan = remove(local)
    assert {entry.key for entry in plan.unknown} == {*strange, index_key("models/quick/0123456789ab")}
    assert set(strange) <= set(local.list(""))


def test_history_notes_and_answers_are_never_touched(local: LocalStore, generations: Generations) -> None:
    approve(local, generations.new.model)
    withdraw(local, generations)
    local.write("audit/2020-01-01/1.json", b"{}")
    local.write("members/small/0123456789ab.parquet", b"x")
    before = {key: local.read(key) for kind in UNTOUCHED for key in local.list(f"{kind}/")}
    remove(local, days=4000)
    assert {key: local.read(key) for key in before} == before
    assert len(before) == 5


def test_without_a_readable_channel_nothing_goes(local: LocalStore, generations: Generations) -> None:
    approve(local, generations.new.model)
    local.write(channel_key("approved"), b"torn")
    before = set(local.list(""))
    with pytest.raises(ArtifactCorrupt, match="channels/approved"):
        remove(local)
    assert set(local.list("")) == before


def test_raw_bytes_that_a_download_counts_on_stay(
    local: LocalStore, generations: Generations, tmp_path: Path
) -> None:
    approve(local, generations.new.model)
    rows = [row(int(generations.only_old[-7:]))]
    with running_mirror(write_folder(tmp_path / "archive", rows)) as url:
        list_archive(ArchiveSource(url=url), local, name="other")
    age(local, generations.old)
    remove(local, days=0)
    assert generations.old.snapshot.key not in folders(local)
    assert list(local.list(f"archive/{generations.only_old}/"))
    assert not list(local.list(f"archive/{generations.withdrawn}/"))


def age(store: LocalStore, generation: object) -> None:
    """Make everything that is in the store and not of today's runs forty days old."""
    assert store.root is not None
    then = time.time() - 40 * 86400
    for path in store.root.rglob("*"):
        if path.is_file() and "/other/" not in path.as_posix():
            os.utime(path, (then, then))


class BreakingStore(LocalStore):
    """A directory that stops taking changes after a number of them."""

    def __init__(self, root: Path, n_changes: int) -> None:
        super().__init__(root)
        self.n_changes = n_changes

    def _count(self) -> None:
        self.n_changes -= 1
        if self.n_changes < 0:
            raise StoreUnavailable("the power went")

    def write(self, key: str, source: bytes | BinaryIO) -> None:
        self._count()
        super().write(key, source)

    def remove(self, key: str) -> None:
        self._count()
        super().remove(key)


@pytest.mark.parametrize("n_changes", [1, 2, 3, 8, 13, 16, 17, 18, 25, 40])
def test_an_interrupted_collection_leaves_a_sound_store_and_goes_on(
    tmp_path: Path, generations: Generations, n_changes: int
) -> None:
    whole, broken = LocalStore(tmp_path / "whole"), BreakingStore(tmp_path / "broken", n_changes)
    for store in (whole, broken):
        generations.fill(store)
    approve(whole, generations.new.model)
    remove(whole)
    approve(LocalStore(tmp_path / "broken"), generations.new.model)
    with pytest.raises(StoreUnavailable):
        remove(broken)
    again = LocalStore(tmp_path / "broken")
    require_sound(again, tmp_path / "cache")
    remove(again)
    assert set(again.list("")) == set(whole.list(""))


def test_an_approval_in_the_middle_wins(filled: Store, generations: Generations, tmp_path: Path) -> None:
    """The approver read the model's index just before it was taken away, and moves the channel just after."""
    approve(filled, generations.new.model)
    model = generations.old.model

    def approve_late(seconds: float) -> None:
        with pytest.raises(ArtifactNotFound):
            get_index(filled, model)
        event = ChannelEvent(
            number=2, channel="approved", action="approve", model_id=model.id, model_sha256=model.sha256,
            previous_model_id=generations.new.model.id, approver="Dr. A", reason="late", at=now().isoformat(),
        )  # fmt: skip
        swap(filled, Pointer(model=model, event=event), filled.read_tagged(channel_key("approved"))[1])
        record(filled, event)

    remove(filled, sleep=approve_late)
    assert approved_model(filled) == model
    get_index(filled, model)  # the very same index
    assert {generations.old.dataset.key, generations.old.snapshot.key, generations.old.report.key} <= folders(filled)
    require_sound(filled, tmp_path / "cache")


def test_what_a_run_publishes_meanwhile_keeps_what_it_was_made_from(
    local: LocalStore, generations: Generations, tmp_path: Path
) -> None:
    """The run had found the old snapshot complete, and publishes a dataset of it after the first look."""
    approve(local, generations.new.model)
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "splits.parquet").write_bytes(b"-")

    def publish_late(seconds: float) -> None:
        inputs = {"snapshot": {"id": generations.old.snapshot.id}, "generation": 0}
        publish(
            local,
            "datasets/late/0123456789ab",
            tmp_path / "late",
            step="p",
            step_version=1,
            inputs=inputs,
            summary={},
        )

    remove(local, sleep=publish_late)
    assert generations.old.snapshot.key in folders(local)
    assert generations.old.dataset.key not in folders(local)
    require_sound(local, tmp_path / "cache")


class CollectingStore(LocalStore):
    """A directory in which a file that no index names yet is collected in the instant before the index appears."""

    def create(self, key: str, body: bytes) -> str:
        if key.endswith("/index.json"):
            for other in self.list(key.removesuffix("index.json")):
                self.remove(other)
        return super().create(key, body)


def test_a_publisher_notices_that_its_files_were_collected(tmp_path: Path) -> None:
    store = CollectingStore(tmp_path / "store")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a").write_bytes(b"a")
    publish(store, "models/quick/0123456789ab", tmp_path / "made", step="t", step_version=1, inputs={}, summary={})
    require_sound(store, tmp_path / "cache")
    assert folders(store) == {"models/quick/0123456789ab"}


def test_a_collection_notices_that_somebody_published_its_files(tmp_path: Path) -> None:
    """An attempt was killed before its index; another finds its file good, and publishes while the file goes."""
    store, key = LocalStore(tmp_path / "store"), "models/quick/0123456789ab"
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a").write_bytes(b"a")
    publish(store, key, tmp_path / "made", step="t", step_version=1, inputs={}, summary={})
    body = store.read(index_key(key))
    store.remove(index_key(key))
    remove(store, on_progress=lambda news: store.write(index_key(key), body) if news.stage == "remove" else None)
    assert find(store, key) is None
    assert remove(store)[0] == []


def test_files_of_killed_attempts_go_when_they_are_old(local: LocalStore, generations: Generations) -> None:
    approve(local, generations.new.model)
    remove(local)
    strays = ["models/quick/0123456789ab/0123456789ab/a", f"{generations.new.model.key}/0123456789ab/a"]
    for key in strays:
        local.write(key, b"half")
    rows, _ = remove(local)
    assert [(row.kind, row.why, row.n_objects) for row in rows] == [("models", Why.STRAY, 2)]
    assert not set(strays) & set(local.list(""))
    assert generations.new.model.key in folders(local)


def test_a_condemned_folder_exists_for_no_reader(local: LocalStore, generations: Generations) -> None:
    inventory = take_inventory(local)
    condemn(local, inventory.folders[generations.old.model.key])
    assert find(local, generations.old.model.key) is None
    assert take_inventory(local).folders[generations.old.model.key].is_condemned


def test_a_needed_folder_that_is_torn_is_not_given_back(local: LocalStore, generations: Generations) -> None:
    """An earlier collection was interrupted among its files; somebody approved the model in between."""
    inventory, report = take_inventory(local), generations.new.report
    approve(local, generations.new.model)
    condemn(local, inventory.folders[report.key])
    local.remove(next(key for key in local.list(f"{report.key}/") if key.endswith("metrics.json")))
    remove(local)
    assert find(local, report.key) is None
    assert list(local.list(f"{report.key}/")) == []


def test_a_data_report_goes_with_its_dataset_and_its_withdrawn_samples(
    local: LocalStore, generations: Generations, tmp_path: Path
) -> None:
    approve(local, generations.new.model)
    keys = {}
    for name, dataset in (("a" * 12, generations.old.dataset), ("b" * 12, generations.new.dataset)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.html").write_text("samples")
        keys[name[0]] = f"data-reports/small/{name}"
        summary = {"dataset": dataset.model_dump(mode="json")}
        publish(
            local,
            f"data-reports/small/{name}",
            tmp_path / name,
            step="data-report",
            step_version=1,
            inputs={},
            summary=summary,
        )
    remove(local, days=2)
    assert set(keys.values()) <= folders(local)
    withdraw(local, generations)
    remove(local, days=2)
    assert keys["a"] not in folders(local)
    assert keys["b"] in folders(local)
    remove(local)
    assert keys["b"] in folders(local)
