"""What is removed and what stays, whoever works in the store meanwhile and whenever the collection is interrupted."""

import datetime
from pathlib import Path

import pytest

from lesion_core.dataset.records import open_dataset
from lesion_core.errors import ArtifactCorrupt, ConfigError
from lesion_core.evaluation.card import current_card
from lesion_core.evaluation.predictions import count_seen
from lesion_core.isic.listing.listing import list_archive
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.keys import channel_key, index_key, signal_key
from lesion_core.lineage.exposure import find_exposure
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import rollback
from lesion_core.registry.decisions import list_decisions
from lesion_core.registry.inventory import FOLDER_KINDS, UNTOUCHED
from lesion_core.registry.retention import Why, make_plan
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.isic.folders import row, write_folder
from tests.core.registry.collecting import MONTH, age, approve, folders, later, now, remove, require_sound, withdraw
from tests.core.registry.generations import Generations


def test_a_dry_run_changes_nothing(local: LocalStore) -> None:
    before = {key: local.read(key) for key in local.list("")}
    plan = make_plan(local, retention=MONTH, now=later()())
    assert {row.kind for row in plan.rows(local)} == {*FOLDER_KINDS, "archive", "gates"} - {
        "data-reports",
        "trials",
        "studies",
    }
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


def test_what_abandoned_trials_said_goes_after_the_retention(local: LocalStore, generations: Generations) -> None:
    approve(local, generations.old.model)
    words = [signal_key("search", 3, kind, epoch) for kind in ("epoch", "verdict") for epoch in (1, 2)]
    for key in words:
        local.write(key, b"{}")
    assert "signals" not in {row.kind for row in remove(local, days=29)[0]}
    assert set(local.list("signals/")) == set(words)
    rows, plan = remove(local)
    assert [(row.why, row.n_objects) for row in rows if row.kind == "signals"] == [(Why.STRAY, len(words))]
    assert list(local.list("signals/")) == []
    assert plan.unknown == ()


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
    looks = [key for key in before if key.startswith("looks/")]  # the reports of two generations
    assert (len(looks), len(before)) == (2, 8)


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
