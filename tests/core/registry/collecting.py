"""What the tests of collection share: a clock, and the steps around it."""

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path

from lesion_core.isic.snapshot import read_images
from lesion_core.isic.withdrawals import note_withdrawn, withdrawn_ids
from lesion_core.progress import Progress
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import move_channel
from lesion_core.registry.collection import collect
from lesion_core.registry.inventory import FOLDER_KINDS
from lesion_core.registry.retention import Plan, Row
from lesion_core.stores.folders import list_folders, materialise
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.registry.generations import Generations

MONTH = datetime.timedelta(days=30)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def later(days: float = 40) -> Callable[[], datetime.datetime]:
    """A clock that is ahead of the store's."""
    return lambda: now() + datetime.timedelta(days=days)


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


def age(store: LocalStore, generation: object) -> None:
    """Make everything that is in the store and not of today's runs forty days old."""
    assert store.root is not None
    then = time.time() - 40 * 86400
    for path in store.root.rglob("*"):
        if path.is_file() and "/other/" not in path.as_posix():
            os.utime(path, (then, then))
