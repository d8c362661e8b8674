"""The numbers of a comparison: what they must equal, and what must not change them."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_curve

from lesion_core.comparison.leaderboard import Entry, Leaderboard, make_leaderboard
from lesion_core.comparison.page import headline_rows, table_of, write_summary
from lesion_core.comparison.pooling import Answers, compare_with, score_folds
from lesion_core.comparison.spec import ComparisonJob, outcome_of
from lesion_core.errors import DataError
from lesion_core.evaluation.report import PROBABILITY_COLUMNS
from lesion_core.statistics.calibration import FLAT
from lesion_core.statistics.estimates import percentile_interval
from lesion_core.statistics.metrics import MELANOMA_INDEX, balanced_accuracy, class_aucs
from lesion_core.statistics.paired import paired_difference
from tests.core.comparison.boards import Made, make_job
from tests.core.evaluation.strategies import make_scores

SKILLS = {"weak": 0.4, "strong": 1.6, "middling": 1.2}


@pytest.fixture(scope="module")
def made() -> Made:
    return make_job(skills=SKILLS, folds=(0, 1, 2), seeds=(1, 2))


@pytest.fixture(scope="module")
def board(made: Made) -> Leaderboard:
    return make_leaderboard(*made)


def _entry(board: Leaderboard, name: str) -> Entry:
    return next(entry for entry in board.entries if entry.recipe == name)


def _tables(made: Made, recipe: str, fold: int) -> list[pd.DataFrame]:
    job, predictions, *_ = made
    return [
        predictions[each.report.id]
        for each in job.outcomes
        if each.report and (each.run.recipe.name, each.run.fold) == (recipe, fold)
    ]


def _score(table: pd.DataFrame) -> float:
    return balanced_accuracy(table["class_index"].to_numpy(), table["predicted_index"].to_numpy())


def test_a_score_is_the_mean_over_folds_and_seeds(made: Made, board: Leaderboard) -> None:
    for name in SKILLS:
        scores = [[_score(table) for table in _tables(made, name, fold)] for fold in (0, 1, 2)]
        entry = _entry(board, name)
        assert entry.balanced_accuracy.value == pytest.approx(np.mean(scores))
        assert entry.spread == pytest.approx(np.std(scores, ddof=1))
        assert (entry.lowest, entry.highest) == (np.min(scores), np.max(scores))
        low, high = entry.balanced_accuracy.low, entry.balanced_accuracy.high
        assert low is not None
        assert high is not None
        assert low < np.mean(scores) < high
    assert [entry.recipe for entry in board.entries] == ["strong", "middling", "weak"]
    assert (board.n_images, board.n_groups, board.chance) == (480, 240, 1 / 8)


def test_differences_are_paired_and_from_the_recipe_named_first(board: Leaderboard) -> None:
    strong, weak, middling = (_entry(board, name) for name in ("strong", "weak", "middling"))
    assert board.reference == "weak"  # not the best: that would be chosen by what is measured
    assert (weak.difference, weak.share_better) == (None, None)
    for other in (strong, middling):
        assert other.difference is not None
        assert other.difference.value == pytest.approx(other.balanced_accuracy.value - weak.balanced_accuracy.value)  # type: ignore[operator]
        assert other.difference.method == "simultaneous"
        assert other.difference.low is not None
        assert other.difference.low > 0
        assert other.share_better == 1


def test_one_fold_and_one_seed_agree_with_the_gates_comparison() -> None:
    made = make_job(skills={"one": 0.9, "other": 1.0}, folds=(0,), baseline="one", n_bootstrap=1000)
    board = make_leaderboard(*made)
    (one,), (other,) = (_tables(made, name, 0) for name in ("one", "other"))
    expected = paired_difference(
        one["class_index"].to_numpy(),
        other["predicted_index"].to_numpy(),
        one["predicted_index"].to_numpy(),
        one["group"].to_numpy(str),
        n_bootstrap=1000,
        seed=7,
    ).balanced_accuracy.difference
    found = _entry(board, "other").difference
    assert found is not None
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.015)  # one is symmetric
    assert board.reference == "one"


def test_a_recipe_that_answers_alike_is_no_better_and_no_worse() -> None:
    job, predictions, trainings, priors = make_job(skills={"one": 1.0, "copy": 1.0}, folds=(0, 1))
    ids = [outcome.report.id for outcome in job.outcomes if outcome.report]
    predictions[ids[2]], predictions[ids[3]] = predictions[ids[0]], predictions[ids[1]]
    entry = _entry(make_leaderboard(job, predictions, trainings, priors), "copy")
    assert entry.difference is not None
    assert (entry.difference.value, entry.difference.low, entry.difference.high) == (0, 0, 0)
    assert entry.share_better == 0.5


def test_of_recipes_that_are_all_alike_few_comparisons_find_any_better_or_worse() -> None:
    """200 comparisons of 8 equal recipes: a false finding in one of twenty, with the error of the counting."""
    random = np.random.default_rng(11)
    n, n_recipes = 160, 8
    found = dict.fromkeys(("simultaneous", "from the best, one by one"), 0)
    for number in range(200):
        true, _ = make_scores(number, n)
        images = pd.DataFrame({"isic_id": np.arange(n), "group": np.arange(n) // 2, "class_index": true})
        answers = Answers(images.astype({"group": str}))
        for recipe in range(n_recipes):
            logits = random.normal(size=(n, 8))
            logits[np.arange(n), true] += 1.2
            answers.probs[str(recipe)], answers.class_priors[str(recipe)] = [softmax(logits, axis=1)], [FLAT]
        scores = score_folds({0: answers}, n_bootstrap=200, seed=number)
        against = compare_with(scores, "0").values()
        found["simultaneous"] += any(_is_clear(each.difference.low, each.difference.high) for each in against)
        best = max(scores.values(), key=lambda each: each.mean().value or 0)
        pairs = [each.minus(best) for each in scores.values() if each is not best]
        found["from the best, one by one"] += any(_is_clear(*percentile_interval(pair[1])) for pair in pairs if pair)
    assert found["simultaneous"] <= 200 * 0.05 + 2 * (200 * 0.05 * 0.95) ** 0.5
    assert found["from the best, one by one"] > 80  # what it replaces


def _is_clear(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low * high > 0


def test_chance_is_that_of_the_classes_that_were_scored_in_each_fold() -> None:
    job, predictions, trainings, priors = make_job(skills={"one": 1.0}, folds=(0, 1))
    first, second = (outcome.report.id for outcome in job.outcomes if outcome.report)
    lacking = {**predictions, first: predictions[first].query("class_index < 4")}
    assert make_leaderboard(job, lacking, trainings, priors).chance == pytest.approx((1 / 4 + 1 / 8) / 2)
    assert second in lacking


def test_a_leaderboard_of_an_older_version_is_read(board: Leaderboard) -> None:
    content = board.model_dump(mode="json")
    for entry in content["entries"]:
        entry["probability_better"] = entry.pop("share_better")
    older = Leaderboard.model_validate({**content, "split": "validation"})
    assert older.entries == board.entries


def test_classes_are_measured_on_all_folds_together(made: Made, board: Leaderboard) -> None:
    table = pd.concat([each for fold in (0, 1, 2) for each in _tables(made, "strong", fold)])
    true, probs = table["class_index"].to_numpy(), table[list(PROBABILITY_COLUMNS)].to_numpy(np.float64)
    found = _entry(board, "strong").classes
    for place, auc in enumerate(class_aucs(true, probs)):
        assert found[place].auc.value == pytest.approx(auc)
        is_class = true == place
        assert found[place].n_images == table.loc[is_class, "isic_id"].nunique()
        assert found[place].n_groups == table.loc[is_class, "group"].nunique()
        assert found[place].sensitivity.value == pytest.approx((probs[is_class].argmax(axis=1) == place).mean())
    assert sum(one.n_images for one in found) == board.n_images  # of two seeds, each image once
    assert _entry(board, "strong").macro_auc.value == pytest.approx(np.mean(class_aucs(true, probs)))
    false_alarms, found_melanomas, _ = roc_curve(true == MELANOMA_INDEX, probs[:, MELANOMA_INDEX])
    expected = found_melanomas[false_alarms <= 0.2].max()
    assert _entry(board, "strong").melanoma_sensitivity_at_80_specificity.value == pytest.approx(expected)


def test_a_failed_run_is_listed_and_the_rest_is_compared(made: Made) -> None:
    job, predictions, trainings, priors = made
    first = job.outcomes[2]  # of the weakest
    lost = [outcome_of(each.run, MemoryError("out of memory"), ValueError("no model")) for each in job.outcomes[6:8]]
    outcomes = (*job.outcomes[:6], *lost, *job.outcomes[8:])
    board = make_leaderboard(ComparisonJob(request=job.request, outcomes=outcomes), predictions, trainings, priors)
    assert first.report is not None
    assert [entry.recipe for entry in board.entries] == [
        "middling",
        "weak",
        "strong",
    ]  # whoever lacks a fold comes last
    strong = board.entries[-1]
    assert (strong.n_runs, strong.n_planned) == (4, 6)
    assert (sum(one.n_images for one in strong.classes), board.n_images) == (320, 480)  # two folds of three
    assert [(each.recipe, each.fold, each.reason) for each in board.failures] == [
        ("strong", 0, "training: MemoryError: out of memory")
    ] * 2
    assert board.reference == "weak"
    assert strong.difference is not None
    scores = [
        [np.mean([_score(t) for t in _tables(made, name, fold)]) for fold in (1, 2)] for name in ("strong", "weak")
    ]
    assert strong.difference.value == pytest.approx(np.mean(scores[0]) - np.mean(scores[1]))  # on the folds of both
    text = write_summary(board)
    assert "runs that failed: 2" in text
    assert "strong, seed 1, fold 0: training: MemoryError: out of memory" in text
    assert headline_rows(board)[-1]["runs"] == "4 of 6"


def test_nothing_to_compare_and_different_images_are_refused(made: Made) -> None:
    job, predictions, trainings, priors = made
    none = tuple(outcome_of(each.run, OSError("disk full"), ValueError()) for each in job.outcomes)
    with pytest.raises(DataError, match=r"at least one run .* disk full"):
        make_leaderboard(ComparisonJob(request=job.request, outcomes=none), predictions, trainings, priors)
    other = job.outcomes[6].report
    assert other is not None
    fewer = {**predictions, other.id: predictions[other.id].iloc[1:]}
    with pytest.raises(DataError, match=r"the same images for every recipe in fold 0, got 159 for 'strong' and 160"):
        make_leaderboard(job, fewer, trainings, priors)


def test_reports_on_another_split_or_model_and_two_recipes_of_one_name_are_refused(made: Made) -> None:
    job, predictions, trainings, priors = made
    asked = job.request.model_copy(update={"split": "test"})
    with pytest.raises(DataError, match=r"expected reports on the test split .* on the calibration split of weak/"):
        make_leaderboard(job.model_copy(update={"request": asked}), predictions, trainings, priors)
    one, other, *rest = job.outcomes
    swapped = (one.model_copy(update={"report": other.report}), other, *rest)
    with pytest.raises(DataError, match="each run's own model"):
        make_leaderboard(ComparisonJob(request=job.request, outcomes=swapped), predictions, trainings, priors)
    changed = one.run.model_copy(update={"recipe": one.run.recipe.model_copy(update={"dropout": 0.5})})
    mixed = (one.model_copy(update={"run": changed}), other, *rest)
    with pytest.raises(DataError, match="one recipe called 'weak', got runs of different ones"):
        make_leaderboard(ComparisonJob(request=job.request, outcomes=mixed), predictions, trainings, priors)


def test_what_people_wrote_is_text_in_the_summary(board: Leaderboard) -> None:
    hostile = "<script>alert(1)</script> | [click](javascript:x)\n\n# A heading of **mine**"
    text = write_summary(board.model_copy(update={"description": hostile}))
    assert "<script" not in text
    assert "[click](" not in text
    assert [line for line in text.splitlines() if line.startswith("#")] == ["## Sensitivity by class (AUC)"]
    assert (
        "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\[click\\](javascript:x) # A heading of \\*\\*mine\\*\\*" in text
    )


def test_the_summary_says_which_groups_were_resampled(board: Leaderboard) -> None:
    text = write_summary(board)
    assert "of balanced accuracy and of differences within each fold, the same for every recipe; of the other" in text


def test_every_number_is_in_the_table(board: Leaderboard) -> None:
    table = table_of(board).set_index("recipe")
    weak = _entry(board, "weak")
    assert table.loc["weak", "balanced_accuracy"] == weak.balanced_accuracy.value
    assert table.loc["weak", "sensitivity_SCC_low"] == weak.classes[-1].sensitivity.low
    assert table.loc["weak", "log_loss"] == weak.log_loss.value
    assert pd.isna(table.loc["weak", "difference"])
    assert not pd.isna(table.loc["strong", "difference"])
    assert Leaderboard.model_validate_json(board.model_dump_json()) == board
