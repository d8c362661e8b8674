import numpy as np
import pytest
from crepes import ConformalClassifier

from lesion_core.errors import DataError
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.statistics.guarantees.conformal import (
    COVERAGES,
    MIN_GROUPS,
    ConformalSets,
    conformal_sets,
    fit_conformal,
    least_probability,
)
from lesion_core.statistics.guarantees.trials import one_per_group


def simulated(n: int, seed: int, shares: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return classes int (n,) and probabilities (n, k) that say something about them."""
    random = np.random.default_rng(seed)
    true = random.choice(N_CLASSES, size=n, p=shares)
    logits = random.normal(size=(n, N_CLASSES)) * 1.5
    logits[np.arange(n), true] += 2
    odds = np.exp(logits)
    return true, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def test_the_sets_are_those_of_crepes() -> None:
    true, probs = simulated(1200, 1)
    fitted = fit_conformal(true, probs, np.arange(len(true)))
    _, fresh = simulated(300, 2)
    peer = ConformalClassifier()
    peer.fit(1 - probs[np.arange(len(true)), true].astype(np.float64), bins=true)
    for place in range(N_CLASSES):
        alphas = 1 - fresh[:, [place]].astype(np.float64)
        p_values = peer.predict_p(alphas, bins=np.full(len(fresh), place), all_classes=True, smoothing=False)
        for coverage in COVERAGES:
            ours = conformal_sets(fresh, fitted.level(coverage))[:, place]
            np.testing.assert_array_equal(ours, p_values[:, 0] > 1 - coverage + 1e-12)


def test_every_class_has_the_coverage_that_is_stated() -> None:
    """Over many drawings, because the guarantee is about these; each class is known to 0.01 here."""
    kept = np.zeros((len(COVERAGES), N_CLASSES))
    rounds = 40
    for number in range(rounds):
        fitted = fit_conformal(*simulated(800, 10 + number), np.arange(800))
        true, probs = simulated(4000, 1000 + number)
        for row, coverage in enumerate(COVERAGES):
            inside = conformal_sets(probs, fitted.level(coverage))[np.arange(len(true)), true]
            kept[row] += [inside[true == place].mean() for place in range(N_CLASSES)]
    kept /= rounds
    for row, coverage in enumerate(COVERAGES):
        assert (kept[row] >= coverage - 0.012).all()
        assert (kept[row] <= coverage + 0.025).all()  # and not by naming everything


def test_a_class_of_few_groups_is_pooled_and_named() -> None:
    true, probs = simulated(400, 3, np.array([0.3, 0.4, 0.2, 0.02, 0.04, 0.02, 0.01, 0.01]))
    fitted = fit_conformal(true, probs, np.arange(400))
    counts = np.bincount(true, minlength=N_CLASSES)
    few = [place for place in range(N_CLASSES) if counts[place] < MIN_GROUPS]
    assert fitted.n_groups == tuple(counts)
    assert fitted.pooled == tuple(CLASS_ORDER[place] for place in few)
    level = fitted.level(0.9)
    pool = np.concatenate([probs[true == place, place] for place in few])
    assert {level.thresholds[place] for place in few} == {least_probability(pool, 0.9)}
    assert level.thresholds[0] == least_probability(probs[true == 0, 0], 0.9)


def test_a_class_is_never_left_out_where_too_few_images_say_what_is_usual() -> None:
    true, probs = np.zeros(8, int), np.full((8, N_CLASSES), 1 / N_CLASSES, np.float32)
    fitted = fit_conformal(true, probs, np.arange(8))
    assert fitted.level(0.9).thresholds == (0.0,) * N_CLASSES
    assert conformal_sets(np.eye(N_CLASSES), fitted.level(0.9)).all()


def test_images_of_one_group_count_once() -> None:
    true, probs = simulated(400, 4)
    once = fit_conformal(true, probs, np.arange(400))
    repeated = fit_conformal(np.repeat(true, 3), np.repeat(probs, 3, axis=0), np.repeat(np.arange(400), 3))
    assert repeated == once
    assert len(one_per_group(np.repeat(np.arange(400), 3), seed=1)) == 400


def test_it_reads_what_it_wrote() -> None:
    fitted = fit_conformal(*simulated(300, 5), np.arange(300))
    assert ConformalSets.model_validate_json(fitted.model_dump_json()) == fitted


def test_bad_input_is_refused() -> None:
    true, probs = simulated(30, 6)
    with pytest.raises(DataError, match="same images"):
        fit_conformal(true, probs, np.arange(29))
    with pytest.raises(DataError, match="between 0 and 1"):
        fit_conformal(true, probs, np.arange(30), coverages=(0.9, 1.0))
    with pytest.raises(DataError, match=r"expected a coverage of 0\.8, 0\.9, 0\.95, got 0\.5"):
        fit_conformal(true, probs, np.arange(30)).level(0.5)
