"""The challenge's score against the organisers' own program, which is given both files in its own format."""

import io
import warnings
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from lesion_core.errors import DataError
from lesion_core.statistics.challenge_score import NUMBERS, ChallengeScore, challenge_score

NINE = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
N = 240


@pytest.fixture
def organisers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The organisers' package; of its own age are ``applymap``, renamed in pandas 3, and arguments soon to go."""
    package = pytest.importorskip(
        "isic_challenge_scoring", reason="the organisers' program is not installed: its 5.6 ends at Python 3.12"
    )
    if not hasattr(pd.DataFrame, "applymap"):
        monkeypatch.setattr(pd.DataFrame, "applymap", pd.DataFrame.map, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield package


def answers(seed: int, *, n: int = N, n_categories: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Return random truth, each category there, and probabilities that are better than chance."""
    random = np.random.default_rng(seed)
    truth = np.r_[np.arange(n_categories), random.integers(0, n_categories, n - n_categories)]
    probs = random.dirichlet(np.full(n_categories, 0.3), n)
    probs[np.arange(n), truth] += random.uniform(0, 0.8, n)
    return random.permuted(truth) if seed % 5 == 4 else truth, probs / probs.sum(axis=1, keepdims=True)


def files(
    truth: np.ndarray, probs: np.ndarray, columns: Sequence[str], weights: np.ndarray | None = None
) -> tuple[io.StringIO, io.StringIO]:
    """Return ground truth and submission as the organisers' files are written."""
    names = [f"ISIC_{number:07d}" for number in range(len(truth))]
    ones = pd.DataFrame(np.eye(len(columns))[truth], columns=list(columns), index=pd.Index(names, name="image"))
    given = pd.DataFrame(probs, columns=list(columns), index=ones.index)
    if weights is not None:
        ones = ones.assign(score_weight=weights, validation_weight=1.0)
    return io.StringIO(ones.to_csv()), io.StringIO(given.to_csv())


def assert_agreement(
    organisers: ModuleType,
    truth: np.ndarray,
    probs: np.ndarray,
    columns: Sequence[str] = NINE,
    weights: np.ndarray | None = None,
) -> ChallengeScore:
    theirs = organisers.ClassificationScore.from_stream(
        *files(truth, probs, columns, weights), organisers.ClassificationMetric.BALANCED_ACCURACY
    )
    ours = challenge_score(truth, probs, columns, weights)
    assert ours.balanced_accuracy == pytest.approx(theirs.overall, abs=1e-9)
    table = [[getattr(one, name) for name in NUMBERS] for one in ours.categories]
    np.testing.assert_allclose(table, theirs.per_category[list(NUMBERS)].to_numpy(), rtol=0, atol=1e-9)
    assert [ours.mean(name) for name in NUMBERS] == pytest.approx(list(theirs.macro_average[list(NUMBERS)]), abs=1e-9)
    return ours


@pytest.mark.parametrize("seed", range(5))
def test_every_number_is_the_organisers(organisers: ModuleType, seed: int) -> None:
    score = assert_agreement(organisers, *answers(seed))
    assert (score.n_images, score.n_undecided, score.absent) == (N, 0, ())


@pytest.mark.parametrize("seed", range(3))
def test_shared_probabilities_are_undecided(organisers: ModuleType, seed: int) -> None:
    truth, probs = answers(seed)
    coarse = np.round(probs * 4) / 4
    score = assert_agreement(organisers, truth, coarse)
    assert 0 < score.n_undecided < N
    in_favour = challenge_score(truth, np.minimum(coarse + 0.01 * np.eye(9)[truth], 1.0), NINE)
    assert score.balanced_accuracy < in_favour.balanced_accuracy


@pytest.mark.parametrize("seed", range(3))
def test_a_model_without_an_answer_for_unknown(organisers: ModuleType, seed: int) -> None:
    truth, probs = answers(seed)
    probs[:, 8] = 0.0
    score = assert_agreement(organisers, truth, probs / probs.sum(axis=1, keepdims=True))
    unknown = score.categories[8]
    assert (unknown.sensitivity, unknown.ppv, unknown.set_to_one) == (0.0, 1.0, ("ppv",))
    assert (unknown.auc, unknown.auc_sens_80) == pytest.approx((0.5, 0.18))  # what guessing has


def test_without_an_answer_for_unknown_the_best_is_eight_ninths(organisers: ModuleType) -> None:
    truth, _ = answers(0)
    probs = np.eye(9)[truth]
    probs[truth == 8] = np.eye(9)[0]
    assert assert_agreement(organisers, truth, probs).balanced_accuracy == pytest.approx(8 / 9)


def test_where_every_image_is_called_the_negative_predictive_value_is_one(organisers: ModuleType) -> None:
    truth, probs = answers(1)
    probs[:, 0] = 0.9  # the organisers do not ask that rows sum to 1
    first = assert_agreement(organisers, truth, probs).categories[0]
    assert (first.sensitivity, first.specificity, first.npv, first.set_to_one) == (1.0, 0.0, 1.0, ("npv",))


def test_eight_columns(organisers: ModuleType) -> None:
    assert_agreement(organisers, *answers(6, n_categories=8), NINE[:8])


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_the_images(organisers: ModuleType, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = np.where(random.random(N) < 0.2, 0.0, random.choice([0.25, 0.5, 1.0, 3.0], N))
    weights[:9] = 1.0
    score = assert_agreement(organisers, *answers(seed), weights=weights)
    assert score.n_images == (weights > 0).sum()


@pytest.mark.parametrize("absent", [(8,), (0, 5, 8)])
def test_absent_categories_are_left_out(organisers: ModuleType, absent: tuple[int, ...]) -> None:
    """Of them the organisers' program as a whole gives no score; its parts do, as far as there is a number."""
    from isic_challenge_scoring import load_csv, metrics
    from isic_challenge_scoring.confusion import create_binary_confusion_matrix

    truth, probs = answers(2)
    kept = ~np.isin(truth, absent)
    truth, probs = truth[kept], probs[kept]
    truth_file, given_file = files(truth, probs, NINE)
    ones, weights = load_csv.parse_truth_csv(truth_file)
    given = load_csv.parse_csv(given_file, ones.columns)
    with pytest.raises(ValueError, match="empty"):
        organisers.ClassificationScore(ones, given, weights, organisers.ClassificationMetric.BALANCED_ACCURACY)
    score = challenge_score(truth, probs, NINE)
    theirs = metrics.balanced_multiclass_accuracy(ones, given, weights.score_weight)
    assert score.balanced_accuracy == pytest.approx(theirs, abs=1e-9)
    assert score.absent == tuple(NINE[place] for place in absent)
    for place in absent:
        found = score.categories[place]
        assert np.isnan([found.sensitivity, found.dice, found.auc, found.auc_sens_80, found.ap]).all()
        counts = create_binary_confusion_matrix(truth == place, probs[:, place] > 0.5)
        assert found.specificity == pytest.approx(metrics.binary_specificity(counts), abs=1e-9)
        assert found.accuracy == pytest.approx(metrics.binary_accuracy(counts), abs=1e-9)
        assert found.npv == 1.0
    present = [one for one in score.categories if one.n_images]
    assert score.mean("auc") == pytest.approx(np.mean([one.auc for one in present]))


def test_a_category_of_every_image_has_no_rest() -> None:
    score = challenge_score(np.zeros(3, int), np.eye(3)[[0, 0, 1]], NINE[:3])
    first = score.categories[0]
    assert np.isnan([first.specificity, first.auc, first.auc_sens_80]).all()
    assert (first.sensitivity, first.ap, score.balanced_accuracy) == pytest.approx((2 / 3, 1.0, 2 / 3))


def test_without_images_nothing_is_known() -> None:
    score = challenge_score(np.zeros(2, int), np.full((2, 9), 1 / 9), NINE, np.zeros(2))
    assert np.isnan(score.balanced_accuracy)
    assert score.n_images == 0
    assert all(np.isnan(score.mean(name)) for name in NUMBERS)


def test_the_order_of_images_does_not_count() -> None:
    truth, probs = answers(1)
    order = np.random.default_rng(0).permutation(N)
    one, other = challenge_score(truth, probs, NINE), challenge_score(truth[order], probs[order], NINE)
    assert one.balanced_accuracy == other.balanced_accuracy
    assert [one.mean(name) for name in NUMBERS] == pytest.approx([other.mean(name) for name in NUMBERS])


@pytest.mark.parametrize(
    ("truth", "probs", "weights", "words"),
    [
        ([0, 1], [[0.5, 0.5]], None, r"got shapes \(2,\), \(1, 2\)"),
        ([0], [[0.5, 0.5]], [1.0, 1.0], r"and \(2,\)"),
        ([2], [[0.5, 0.5]], None, "expected categories from 0 to 1, got 2 to 2"),
        ([0], [[0.5, 1.5]], None, "softmax"),
        ([0], [[0.5, np.nan]], None, "NaN"),
        ([0], [[0.5, 0.5]], [-1.0], "weights of 0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(truth: object, probs: object, weights: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        challenge_score(np.array(truth), np.array(probs), ("A", "B"), weights and np.array(weights))
