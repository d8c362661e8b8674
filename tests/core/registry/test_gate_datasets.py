"""The gate counts the tables of a dataset again, whatever its certificate says."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lesion_core.dataset.proof.census import TABLES
from lesion_core.dataset.proof.certificate import write_certificate
from lesion_core.dataset.records import OpenDataset
from lesion_core.recipes.sections import GatePolicy
from lesion_core.refs import DatasetRef
from lesion_core.registry.gate import decide
from lesion_core.registry.verdicts import GateDecision
from lesion_core.stores.filesystem import file_digest
from lesion_core.stores.folders import get_index, publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder, summary_of
from tests.core.evaluation.worlds import make_dataset
from tests.core.registry.gate_world import World, check_of, failed

POLICY = GatePolicy()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    place = tmp_path_factory.mktemp("gate")
    store = LocalStore(place / "store")
    return World(store, make_dataset(store, place, n_images=168), place)


def spoilt(world: World, place: Path, spoil: Callable[[Path], None]) -> DatasetRef:
    """Publish the dataset again after ``spoil`` changed its files, under an index that is true to them."""
    folder = place / "dataset"
    shutil.copytree(world.dataset.folder, folder)
    spoil(folder)
    _, index = get_index(world.store, world.dataset.ref)
    key = f"datasets/{place.name[-40:]}/{'0' * 12}"
    summary = summary_of(world.dataset.ref)
    published = publish(
        world.store, key, folder, step="prepare", step_version=2, inputs=index.inputs, summary=summary
    )
    return ref_from_folder(DatasetRef, key, *published)


def gated(world: World, dataset: DatasetRef) -> GateDecision:
    """Return the gate's decision on a good model that was trained and tested on ``dataset``."""
    tested = OpenDataset(dataset, world.dataset.folder, world.dataset.rows)
    return decide(world.report(world.model(dataset), dataset=tested), POLICY, world.store)


def edit_certificate(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "certificate.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def lose(folder: Path) -> None:
    (folder / "certificate.json").unlink()


def move_test_to_train(folder: Path) -> None:
    edit_table(folder / "splits.parquet", lambda rows: rows.assign(split=rows["split"].replace({"train": "test"})))


def boast(folder: Path) -> None:
    edit_certificate(folder, lambda content: content["images"]["test"].update(MEL=500))


def admit(folder: Path) -> None:
    edit_certificate(folder, lambda content: content["overlaps"].update(lesion_id=2))


def empty(folder: Path) -> None:
    (folder / "certificate.json").write_text("{}")


def other_inputs(folder: Path) -> None:
    edit_certificate(folder, lambda content: content["inputs"].update(snapshot={"id": "another"}))


@pytest.mark.parametrize("fault", [lose, move_test_to_train, boast, admit, empty, other_inputs])
def test_a_dataset_without_a_true_certificate_fails(
    world: World, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    decision = gated(world, spoilt(world, tmp_path, fault))
    assert failed(decision) == ["certificate of the dataset tested on"]
    assert "no true certificate" in check_of(decision, "certificate").detail


def edit_table(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    schema = pq.read_schema(path)
    pq.write_table(pa.Table.from_pandas(change(pd.read_parquet(path)), schema=schema, preserve_index=False), path)


def certify_again(folder: Path) -> None:
    """State the digests of the tables as they are now: a forger's certificate."""
    digests = {name: file_digest(folder / name) for name in TABLES}
    edit_certificate(
        folder, lambda content: content.update(tables=digests, manifest_sha256=digests["manifest.parquet"])
    )


def plant(kind: str) -> Callable[[Path], None]:
    """Return what plants one leak of a kind into a dataset's tables, and forges the certificate."""

    def spoil(folder: Path) -> None:
        rows = pd.read_parquet(folder / "splits.parquet")
        by = "fold" if kind.endswith("across folds") else "split"
        sides = (0, 1) if by == "fold" else ("train", "test")
        pool = rows[rows["split"] == "train"] if by == "fold" else rows
        one, other = (pool.loc[pool[by] == side, "isic_id"].iloc[0] for side in sides)
        evidence = kind.removesuffix(" across folds")
        if evidence in ("patient_id", "lesion_id", "sha256"):
            value = "f" * 64 if evidence == "sha256" else "PLANTED"
            edit_table(
                folder / "manifest.parquet",
                lambda table: table.assign(
                    **{evidence: table[evidence].mask(table["isic_id"].isin([one, other]), value)}
                ),
            )
        elif evidence == "near_duplicate":
            pair = pd.DataFrame(
                [[one, other, 0.99, 0.99, 0.9]], columns=["first", "second", "whole", "disc", "texture"]
            )
            edit_table(folder / "duplicates.parquet", lambda table: pd.concat([table, pair]) if len(table) else pair)
        elif evidence == "isic_id":
            twice = rows[rows["isic_id"] == one].assign(**{by: sides[1]})
            edit_table(folder / "splits.parquet", lambda table: pd.concat([table, twice]))
        else:  # half a group on the other side
            groups = pd.read_parquet(folder / "manifest.parquet").set_index("isic_id")["group"]
            whole = groups.loc[pool.loc[pool[by] == sides[0], "isic_id"]]
            half = rows[rows["isic_id"] == whole.index[whole.duplicated(keep=False)][0]].index
            edit_table(
                folder / "splits.parquet",
                lambda table: table.assign(**{by: table[by].mask(table.index.isin(half), sides[1])}),
            )
        certify_again(folder)

    return spoil


KINDS = ["isic_id", "group", "patient_id", "lesion_id", "sha256", "near_duplicate"]


@pytest.mark.parametrize("kind", [*KINDS, *(f"{kind} across folds" for kind in KINDS)])
def test_a_planted_leak_of_each_kind_is_refused_by_name_even_under_a_forged_certificate(
    world: World, tmp_path: Path, kind: str
) -> None:
    decision = gated(world, spoilt(world, tmp_path, plant(kind)))
    assert failed(decision) == ["certificate of the dataset tested on"]
    where = r"fold 0 and fold 1" if kind.endswith("folds") else r"test and train"
    assert re.search(rf"{kind.split()[0]} \S.* in {where}", check_of(decision, "certificate").detail)


def test_a_test_split_that_gained_images_under_its_name_is_refused(world: World, tmp_path: Path) -> None:
    """A whole group that moves into the test leaks nothing, so only the first dataset with this test tells."""

    def admit_a_group(folder: Path) -> None:
        rows = pd.read_parquet(folder / "splits.parquet")
        moved = rows.loc[rows["group"] == rows.loc[rows["split"] == "train", "group"].iloc[0], "isic_id"]
        for name in ("splits.parquet", "ledger.parquet"):
            edit_table(
                folder / name,
                lambda table: table.assign(split=table["split"].mask(table["isic_id"].isin(moved), "test")),
            )
        edit_table(
            folder / "ledger.parquet",
            lambda table: table.assign(test_name=table["test_name"].mask(table["isic_id"].isin(moved), "test-1")),
        )
        _, index = get_index(world.store, world.dataset.ref)
        write_certificate(folder, index.inputs, pd.read_parquet(folder / "splits.parquet"))

    folder = tmp_path / "dataset"
    shutil.copytree(world.dataset.folder, folder)
    admit_a_group(folder)
    _, index = get_index(world.store, world.dataset.ref)
    inputs = {**index.inputs, "generation": 1}
    edit_certificate(folder, lambda content: content.update(inputs=inputs))
    key = f"datasets/{world.dataset.ref.name}/{'9' * 12}"
    summary = summary_of(world.dataset.ref)
    published = publish(world.store, key, folder, step="prepare", step_version=2, inputs=inputs, summary=summary)
    decision = gated(world, ref_from_folder(DatasetRef, key, *published))
    assert failed(decision) == ["certificate of the dataset tested on"]
    assert "to gain no image after" in check_of(decision, "certificate").detail


def test_both_datasets_need_a_certificate(world: World, tmp_path: Path) -> None:
    before = make_dataset(world.store, tmp_path, n_images=84, name="before")
    names = [check.name for check in decide(world.report(world.model(before.ref)), POLICY, world.store).checks]
    assert names[:2] == ["certificate of the dataset tested on", "certificate of the dataset trained on"]
    gone = before.ref.model_copy(update={"sha256": "1" * 64})
    assert failed(decide(world.report(world.model(gone)), POLICY, world.store)) == [
        "certificate of the dataset trained on"
    ]
