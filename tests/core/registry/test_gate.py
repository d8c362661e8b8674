import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lesion_core.evaluation.analysis.out_of_distribution import measure_out_of_distribution
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.recipes.sections import GatePolicy
from lesion_core.refs import ReportRef
from lesion_core.registry.gate import decide
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder
from tests.core.evaluation.worlds import always, make_dataset
from tests.core.registry.gate_world import Answer, World, check_of, failed

POLICY = GatePolicy()
MEL, NV = CLASS_ORDER.index(Diagnosis.MEL), CLASS_ORDER.index(Diagnosis.NV)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    place = tmp_path_factory.mktemp("gate")
    store = LocalStore(place / "store")
    return World(store, make_dataset(store, place, n_images=168), place)


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
