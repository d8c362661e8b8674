import numpy as np
import pandas as pd
import pytest

from lesion_core.errors import DataError
from lesion_core.evaluation.cases.label_noise import LabelNoise, class_thresholds, find_label_suspects
from lesion_core.labels import CLASS_ORDER, N_CLASSES, Diagnosis
from lesion_core.serving.predictor import softmax
from tests.core.evaluation.cases.tables import predictions_of

MEL, NV = CLASS_ORDER.index(Diagnosis.MEL), CLASS_ORDER.index(Diagnosis.NV)


def simulated(flipped_share: float, *, n: int = 3000, seed: int = 5) -> tuple[pd.DataFrame, np.ndarray]:
    """Predictions of a model that is right on about 92 % of the true classes; labels of some images are flipped."""
    rng = np.random.default_rng(seed)
    true = rng.choice(N_CLASSES, n, p=[0.2, 0.35, 0.15, 0.08, 0.1, 0.03, 0.03, 0.06])
    logits = rng.normal(0, 1, (n, N_CLASSES))
    logits[np.arange(n), true] += 3.0
    is_flipped = rng.random(n) < flipped_share
    given = np.where(is_flipped, (true + rng.integers(1, N_CLASSES, n)) % N_CLASSES, true)
    return predictions_of(given, softmax(logits)), is_flipped


def hits(found: LabelNoise, is_flipped: np.ndarray) -> tuple[float, float]:
    """Return precision and recall."""
    flipped = {f"ISIC_{place:07d}" for place in np.flatnonzero(is_flipped)}
    suspects = {one.isic_id for one in found.suspects}
    return len(suspects & flipped) / len(suspects), len(suspects & flipped) / len(flipped)


def test_of_labels_flipped_in_one_of_twenty_images_most_are_found_and_most_suspects_are_flipped() -> None:
    table, is_flipped = simulated(0.05)
    right = (table["predicted_index"] == table["class_index"]).to_numpy()[~is_flipped].mean()
    assert 0.85 < right < 0.95  # the model itself is wrong more often than the labels are
    precision, recall = hits(find_label_suspects(table), is_flipped)
    assert precision > 0.7
    assert recall > 0.5
    mistakes = (~table["correct"]).to_numpy()
    assert precision > 1.5 * is_flipped[mistakes].mean()  # better than to take every mistake for one


def test_without_flipped_labels_there_are_few_suspects() -> None:
    flipped, none = (find_label_suspects(simulated(share)[0]) for share in (0.05, 0.0))
    assert len(none.suspects) < 0.01 * none.n_images
    assert len(none.suspects) < 0.2 * len(flipped.suspects)


def test_the_least_self_confident_come_first_with_what_they_look_like() -> None:
    found = find_label_suspects(simulated(0.05)[0])
    confidences = [one.p_given for one in found.suspects]
    assert confidences == sorted(confidences)
    assert all(one.p_suggested > one.p_given and one.suggested != one.given for one in found.suspects)
    low, high = found.share.low, found.share.high
    assert low is not None
    assert high is not None
    assert found.share.value is not None
    assert low < found.share.value == len(found.suspects) / found.n_groups < high


def pair_of_folds() -> pd.DataFrame:
    """Two folds whose models are as right as each other, the second much less confident."""
    rng = np.random.default_rng(2)
    true = rng.choice([MEL, NV], 400)
    sure = np.where(np.arange(400) < 200, 0.9, 0.5)
    probs = np.full((400, N_CLASSES), 0.0)
    probs[np.arange(400), true] = sure
    probs[np.arange(400), MEL + NV - true] = 1 - sure - 0.06
    probs[:, 2:] = 0.01
    # One doubtful label in each fold.
    swapped = true.copy()
    swapped[[10, 300]] = MEL + NV - swapped[[10, 300]]
    return predictions_of(swapped, probs).assign(fold=np.repeat([0, 1], 200))


def test_each_fold_has_thresholds_of_its_own_model() -> None:
    table = pair_of_folds()
    assert [(one.isic_id, one.fold) for one in find_label_suspects(table).suspects] == [
        ("ISIC_0000010", 0),
        ("ISIC_0000300", 1),
    ]
    pooled = find_label_suspects(table.drop(columns="fold"))
    assert [one.isic_id for one in pooled.suspects] == ["ISIC_0000010"]  # the unsure model's is lost
    assert pooled.suspects[0].fold is None


def test_a_class_with_few_groups_is_never_suggested_and_is_named() -> None:
    table, _ = simulated(0.0, n=2000)
    rare = table[(table["class_index"] != MEL) | (np.arange(len(table)) < 30)]
    found = find_label_suspects(rare)
    assert found.left_out == (Diagnosis.MEL,)
    assert Diagnosis.MEL not in {one.suggested for one in found.suspects}
    given, probs = rare["class_index"].to_numpy(), rare.filter(like="p_").to_numpy()
    limits = class_thresholds(given, probs, rare["group"].to_numpy(dtype=str))
    assert np.isinf(limits[MEL])
    assert limits[NV] == pytest.approx(probs[given == NV, NV].mean())


def test_it_says_how_many_images_of_the_lesion_agree() -> None:
    true = np.repeat([MEL, NV], 30)
    probs = np.full((60, N_CLASSES), 0.01)
    probs[np.arange(60), true] = 0.9
    given = true.copy()
    given[[0, 1]] = NV  # both images of the first group, one of the three of another
    given[4] = NV
    groups = np.array([0, 0, 1, 1, 1, *range(2, 57)])
    given[[2, 3]] = NV
    probs[[2, 3], MEL], probs[[2, 3], NV] = 0.01, 0.9
    found = find_label_suspects(predictions_of(given, probs, groups))
    agreement = {one.isic_id: (one.n_suspect_of_group, one.n_of_group) for one in found.suspects}
    assert agreement == {"ISIC_0000000": (2, 2), "ISIC_0000001": (2, 2), "ISIC_0000004": (1, 3)}
    assert found.suspects[0].in_words() == "labelled NV (0.01), looks like MEL (0.90); 2 of 2 images of its group"
    assert found.in_words().startswith("3 of 60 images (2 of 57 groups) have a doubtful label")


def test_predictions_without_numbers_are_refused() -> None:
    table, _ = simulated(0.0, n=40)
    with pytest.raises(DataError, match="got 0"):
        find_label_suspects(table.head(0))
    with pytest.raises(DataError, match="NaN"):
        find_label_suspects(table.assign(p_NV=np.nan))
