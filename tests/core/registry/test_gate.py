import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lesion_core.dataset.proof.census import TABLES
from lesion_core.dataset.proof.certificate import write_certificate
from lesion_core.dataset.records import OpenDataset
from lesion_core.evaluation.analysis.out_of_distribution import FalseAlarms, measure_out_of_distribution
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.recipes.sections import GatePolicy
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.registry.gate import decide
from lesion_core.registry.verdicts import GateCheck, GateDecision
from lesion_core.stores.filesystem import file_digest
from lesion_core.stores.folders import get_index, publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder, summary_of
from tests.core.evaluation.worlds import always, make_dataset, publish_model, publish_report, right

POLICY = GatePolicy()
MEL, NV = CLASS_ORDER.index(Diagnosis.MEL), CLASS_ORDER.index(Diagnosis.NV)
Answer = Callable[[np.ndarray], np.ndarray]


@dataclass
class World:
    store: LocalStore
    dataset: OpenDataset
    place: Path
    number: int = 0

    def model(self, dataset: DatasetRef | None = None, **changes: object) -> ModelRef:
        self.number += 1
        return publish_model(self.store, dataset or self.dataset.ref, self.place, seed=self.number, **changes)  # type: ignore[arg-type]

    def report(
        self,
        model: ModelRef,
        answer: Answer = right,
        dataset: OpenDataset | None = None,
        flags: FalseAlarms | None = None,
    ) -> ReportRef:
        self.number += 1
        measured = dataset or self.dataset
        return publish_report(self.store, model, measured, self.place, answer, seed=self.number, flags=flags)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    place = tmp_path_factory.mktemp("gate")
    store = LocalStore(place / "store")
    return World(store, make_dataset(store, place, n_images=168), place)


def check_of(decision: GateDecision, name: str) -> GateCheck:
    return next(check for check in decision.checks if name in check.name)


def failed(decision: GateDecision) -> list[str]:
    return [check.name for check in decision.checks if not check.passed]


def mistaking(share: float, *, of: int | None = None, into: int = NV) -> Answer:
    """Answer wrong for the first ``share`` of the images (of one class, or of all)."""

    def answer(true: np.ndarray) -> np.ndarray:
        places = np.flatnonzero(true == of) if of is not None else np.arange(len(true))
        wrong = places[: round(share * len(places))]
        answers = true.copy()
        answers[wrong] = into if of is not None else (true[wrong] + 1) % 7
        return answers

    return answer


def test_a_good_first_model_passes_with_every_number_in_words(world: World) -> None:
    model = world.model()
    report = world.report(model)
    decision = decide(report, POLICY, world.store)
    assert decision.passed, failed(decision)
    assert (decision.model, decision.report_id, decision.compared_with) == (model, report.id, None)
    chance = check_of(decision, "chance").detail
    assert "1.000" in chance
    assert "0.143" in chance
    assert "VASC" in chance  # named, not fatal
    assert (
        "0 lesions, patients, files or near-duplicates in two splits or folds"
        in check_of(decision, "certificate").detail
    )


def test_deciding_writes_nothing_and_repeats_itself(world: World) -> None:
    report = world.report(world.model())
    before = list(world.store.list(""))
    assert decide(report, POLICY, world.store) == decide(report, POLICY, world.store)
    assert list(world.store.list("")) == before


@pytest.mark.parametrize(("share", "passes"), [(0.05, True), (0.6, False), (None, True)])
def test_a_score_that_flags_ordinary_images_fails_and_an_unknown_one_is_said(
    world: World, share: float | None, passes: bool
) -> None:
    scores = np.zeros(400) if share is None else (np.arange(400) < 400 * share).astype(float)
    found = measure_out_of_distribution(scores, np.arange(400), None if share is None else 0.5, n_bootstrap=100)
    report = world.report(world.model(), flags=found)
    decision = decide(report, POLICY, world.store)
    check = check_of(decision, "within the distribution")
    assert check.passed is passes
    assert ("not known" in check.detail) is (share is None)
    assert ("240 of 400 test images are flagged" in check.detail) is (share == 0.6)


def test_guessing_is_not_better_than_chance(world: World) -> None:
    decision = decide(world.report(world.model(), always(Diagnosis.NV)), POLICY, world.store)
    assert failed(decision) == ["better than chance"]
    assert not decision.passed


def test_a_model_of_a_fold_is_never_approvable(world: World) -> None:
    decision = decide(world.report(world.model(fold=1)), POLICY, world.store)
    assert failed(decision) == ["trained on the dataset's own splits"]
    assert "fold 1" in check_of(decision, "own splits").detail
    assert "cross-validation" in check_of(decision, "own splits").detail


def test_the_margin_over_chance_is_the_policys(world: World) -> None:
    report = world.report(world.model(), mistaking(0.4))
    low = report.balanced_accuracy_low
    for margin, passes in ((low - report.chance - 0.01, True), (low - report.chance + 0.01, False)):
        decision = decide(report, GatePolicy(min_balanced_accuracy_over_chance=margin), world.store)
        assert decision.passed is passes


def test_a_worse_model_does_not_replace_a_better_one(world: World) -> None:
    approved, worse = world.report(world.model()), world.report(world.model(), mistaking(0.2))
    decision = decide(worse, POLICY, world.store, against=approved)
    assert "balanced accuracy against the approved model" in failed(decision)
    assert decision.compared_with == approved.model.id
    detail = check_of(decision, "balanced accuracy against").detail
    assert "against 1.000" in detail
    assert "a drop of 0.020 is allowed" in detail
    assert decide(approved, POLICY, world.store, against=worse).passed
    assert decide(
        worse, GatePolicy(max_balanced_accuracy_drop=0.5, max_malignant_sensitivity_drop=1), world.store
    ).passed


def test_missed_cancers_fail_even_where_balanced_accuracy_may_drop(world: World) -> None:
    approved = world.report(world.model())
    missing = world.report(world.model(), mistaking(1.0, of=MEL))
    lenient = GatePolicy(max_balanced_accuracy_drop=0.5)
    assert failed(decide(missing, lenient, world.store, against=approved)) == [
        "malignant sensitivity against the approved model"
    ]


def test_an_equal_model_passes_at_a_drop_of_nothing(world: World) -> None:
    strict = GatePolicy(max_balanced_accuracy_drop=0, max_malignant_sensitivity_drop=0)
    one, other = (world.report(world.model(), mistaking(0.3)) for _ in range(2))
    assert decide(one, strict, world.store, against=other).passed


def test_reports_on_other_images_are_no_comparison(world: World, tmp_path: Path) -> None:
    elsewhere = make_dataset(world.store, tmp_path, n_images=84, name="elsewhere")
    model = world.model(elsewhere.ref)
    decision = decide(
        world.report(world.model()), POLICY, world.store, against=world.report(model, dataset=elsewhere)
    )
    assert failed(decision) == ["same test images as the approved model"]
    assert (
        f"evaluate {model.id} on the test split of {world.dataset.ref.id}" in check_of(decision, "same test").detail
    )


def test_generated_images_never_replace_photographs(world: World) -> None:
    real, synthetic = world.report(world.model()), world.report(world.model(synthetic=True))
    decision = decide(synthetic, POLICY, world.store, against=real)
    assert failed(decision) == ["real and generated images apart"]
    assert real.model.id in check_of(decision, "real and generated").detail
    assert decide(synthetic, POLICY, world.store).passed
    assert decide(real, POLICY, world.store, against=synthetic).passed


def test_generated_images_do_not_vouch_for_a_model_of_photographs(world: World) -> None:
    report = world.report(world.model())
    generated = report.model_copy(update={"dataset": report.dataset.model_copy(update={"synthetic": True})})
    assert "real and generated images apart" in failed(decide(generated, POLICY, world.store))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": "CC-0"}, "wider than its images'"),
        ({"licence": "CC-BY-NC", "attributions": []}, "asks for attribution"),
        ({"licence": "none of the known"}, "no licence that can be read"),
    ],
)
def test_a_model_must_state_its_licence_and_whom_to_credit(world: World, changes: dict, words: str) -> None:
    dataset = world.dataset.ref.model_copy(update={"licence": "CC-BY-NC"})
    decision = decide(world.report(world.model(dataset, **changes)), POLICY, world.store)
    assert failed(decision) == ["licence and attribution"]
    assert words in check_of(decision, "licence").detail


def _with_subject(world: World, name: str, **changes: object) -> ReportRef:
    """Publish a report whose subject says something else."""
    report = world.report(world.model())
    folder = world.place / name
    shutil.copytree(world.store.root / report.key, folder)  # type: ignore[operator]
    files = next(path.parent for path in folder.rglob("metrics.json"))
    metrics = json.loads((files / "metrics.json").read_text())
    metrics["subject"] |= changes
    (files / "metrics.json").write_text(json.dumps(metrics))
    key = f"{report.key[:-12]}{'5' * 12}"
    summary = report.model_dump(mode="json", exclude={"id", "key", "sha256"})
    published = publish(world.store, key, files, step="evaluate", step_version=1, inputs=changes, summary=summary)
    return ref_from_folder(ReportRef, key, *published)


def test_how_often_the_recipe_was_measured_on_the_test_images_is_said_and_may_be_limited(world: World) -> None:
    report = _with_subject(world, "weekly", looks={"same_recipe": 3, "any_recipe": 5, "overlapping": 0})
    said = decide(report, POLICY, world.store)
    assert failed(said) == []
    assert "before: 5, of which 3 of the recipe 'hand-made'" in check_of(said, "accesses").detail
    assert failed(decide(report, GatePolicy(max_test_accesses=3), world.store)) == []
    refused = decide(report, GatePolicy(max_test_accesses=2), world.store)
    assert failed(refused) == ["accesses to the test split"]
    assert "2 of the recipe allowed" in check_of(refused, "accesses").detail


def test_test_images_that_went_into_the_model_fail(world: World) -> None:
    decision = decide(_with_subject(world, "seen", n_seen_in_training=3), POLICY, world.store)
    assert failed(decision) == ["test images unseen"]
    assert "3 of" in check_of(decision, "unseen").detail


def test_a_report_on_another_split_or_filed_under_another_model_fails(world: World) -> None:
    report = world.report(world.model())
    for changes in ({"split": "validation"}, {"model": world.model()}):
        assert "measured on the test split" in failed(decide(report.model_copy(update=changes), POLICY, world.store))


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
