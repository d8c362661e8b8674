"""Collections that are interrupted, and stores that change under them: what is needed stays whole."""

from pathlib import Path
from typing import BinaryIO

import pytest

from lesion_core.errors import ArtifactNotFound, StoreUnavailable
from lesion_core.keys import channel_key, index_key
from lesion_core.registry.channel_history import Pointer, record, swap
from lesion_core.registry.channels import approved_model
from lesion_core.registry.collection import condemn
from lesion_core.registry.inventory import take_inventory
from lesion_core.registry.protocol import ChannelEvent
from lesion_core.registry.retention import Why
from lesion_core.stores.folders import find, get_index, publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.registry.collecting import approve, folders, now, remove, require_sound
from tests.core.registry.generations import Generations


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
