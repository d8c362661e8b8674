"""How well a model tells a class that it never learnt: every score against its plain definition."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import open_dataset
from lesion_core.errors import ConfigError, DataError
from lesion_core.evaluation.left_out.spec import UnknownClassJob, without
from lesion_core.evaluation.left_out.unknown_class import Outputs, UnknownClassMetrics, measure_unknown_class
from lesion_core.evaluation.left_out.unknown_class_job import read_unknown_class, run
from lesion_core.labels import CLASS_ORDER, Diagnosis, class_index
from lesion_core.progress import ignore_progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.registry.inventory import take_inventory
from lesion_core.stores.folders import read_file
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import draw, encode, image_row, store_snapshot
from tests.core.evaluation.worlds import publish_model

DF, NV, MEL = (class_index(name) for name in ("DF", "NV", "MEL"))
WIDTH = 6


def outputs(seed: int, classes: list[int], sure: float, away: float = 0.0) -> Outputs:
    """Return answers that are as sure as asked for, and embeddings at their class's place, or away from all."""
    rng = np.random.default_rng(seed)
    class_known = np.array(classes)
    logits = rng.normal(size=(len(classes), 8))
    logits[np.arange(len(classes)), class_known % 3] += sure
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    embedding = rng.normal(size=(len(classes), WIDTH))
    embedding[:, 0] += 6 * (class_known % 3)
    embedding[:, 5] += away
    return Outputs(
        logits,
        shifted / shifted.sum(axis=1, keepdims=True),
        embedding,
        class_known,
        np.arange(len(classes)).astype(str),
    )


def known_of(seed: int, n: int) -> Outputs:
    return outputs(seed, [(MEL, NV)[number % 2] for number in range(n)], 5.0)


def measured(
    unknown: Outputs, calibration: Outputs | None = None, known: Outputs | None = None
) -> UnknownClassMetrics:
    return measure_unknown_class(
        Diagnosis.DF,
        reference=known_of(1, 200),
        calibration=calibration or known_of(2, 200),
        known=known or known_of(3, 150),
        unknown=unknown,
        temperature=1.5,
        n_bootstrap=100,
    )


def pairs_won(known: np.ndarray, unknown: np.ndarray) -> float:
    """Return how often an unknown image has the higher score, ties half: the area by its definition."""
    return float(((unknown[:, None] > known) + 0.5 * (unknown[:, None] == known)).mean())


def test_scores_are_what_they_are_called() -> None:
    unknown, known, reference = outputs(4, [DF] * 40, 0.5, away=3.0), known_of(3, 150), known_of(1, 200)
    found = {one.score: one.auroc.value for one in measured(unknown).scores}
    entropies = [-(one.probs * np.log(one.probs)).sum(axis=1) for one in (known, unknown)]
    energies = [-1.5 * np.log(np.exp(one.logits / 1.5).sum(axis=1)) for one in (known, unknown)]
    assert found["max probability"] == pytest.approx(
        pairs_won(*(1 - one.probs.max(axis=1) for one in (known, unknown)))
    )
    assert found["entropy"] == pytest.approx(pairs_won(*entropies))
    assert found["energy"] == pytest.approx(pairs_won(*energies))
    assert found["max logit"] == pytest.approx(pairs_won(*(-one.logits.max(axis=1) for one in (known, unknown))))

    def fifth(said: Outputs) -> np.ndarray:
        unit, others = (
            one.embedding / np.linalg.norm(one.embedding, axis=1, keepdims=True) for one in (said, reference)
        )
        return np.sort(np.linalg.norm(unit[:, None] - others, axis=2), axis=1)[:, 4]

    assert found["5 nearest neighbours"] == pytest.approx(pairs_won(fifth(known), fifth(unknown)))
    assert "ood_score" not in found
    assert found["Mahalanobis distance"] is not None
    assert found["Mahalanobis distance"] > 0.9  # three standard deviations away from every class


def test_thresholds_are_the_calibration_images_alone() -> None:
    calibration, known, unknown = known_of(2, 200), known_of(3, 150), outputs(4, [DF] * 40, 2.0)
    metrics = measured(unknown, calibration, known)
    one = next(each for each in metrics.scores if each.score == "max logit")
    scores = -calibration.logits.max(axis=1)
    assert (scores > one.threshold).mean() <= 0.05 < (scores >= one.threshold).mean() + 1e-9
    assert one.false_alarms.value == pytest.approx((-known.logits.max(axis=1) > one.threshold).mean())
    accepted = -unknown.logits.max(axis=1) <= one.threshold
    assert one.false_accepts.value == pytest.approx(accepted.mean())
    malignant = np.isin(unknown.probs.argmax(axis=1), [class_index(name) for name in ("MEL", "BCC", "SCC")])
    assert one.false_malignant.value == pytest.approx((accepted & malignant).mean())
    assert metrics.false_malignant.value == pytest.approx(malignant.mean())
    assert metrics.false_malignant.method == "Wilson"  # forty groups
    assert sum(metrics.answers.values()) == metrics.n_unknown == 40


def test_an_output_of_the_models_own_is_measured_too() -> None:
    parts = [
        dataclasses.replace(one, ood_score=np.full(len(one.groups), level) + np.arange(len(one.groups)) / 1e6)
        for one, level in ((known_of(2, 200), 0.1), (known_of(3, 150), 0.2), (outputs(4, [DF] * 40, 2.0), 0.9))
    ]
    found = {one.score: one for one in measured(parts[2], parts[0], parts[1]).scores}
    assert found["ood_score"].auroc.value == 1.0
    assert found["ood_score"].is_useful
    assert found["ood_score"].false_alarms.value == 1.0  # all above the calibration images, as stated here


def test_where_nothing_works_the_words_say_so() -> None:
    alike = outputs(5, [NV] * 60, 5.0)
    hidden = dataclasses.replace(alike, class_index=np.full(60, DF))
    words = measured(hidden).in_words()
    assert "No score works well enough: none reaches an AUROC of 0.8" in words
    assert "cannot tell that it does not know DF" in words
    many, few = (measured(outputs(6, [DF] * n, 0.0, away=6.0)) for n in (60, 2))
    assert "No score" not in many.in_words()
    assert "not shown by so few images" not in many.in_words()
    assert few.scores[0].is_useful
    assert "reaches below 0.8: that it works is not shown by so few images" in few.in_words()


def test_intervals_are_of_groups() -> None:
    unknown = outputs(4, [DF] * 40, 0.5)
    of_one_lesion = dataclasses.replace(unknown, groups=np.repeat(["a", "b", "c", "d"], 10))
    wide, narrow = (
        next(each.auroc for each in measured(one).scores if each.score == "entropy")
        for one in (of_one_lesion, unknown)
    )
    assert wide.value == narrow.value
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low


@pytest.mark.parametrize("part", ["calibration", "known", "unknown"])
def test_images_of_the_wrong_side_are_refused(part: str) -> None:
    wrong = {
        "calibration": outputs(4, [NV, DF], 1.0),
        "known": outputs(4, [NV, DF], 1.0),
        "unknown": outputs(4, [NV, DF], 1.0),
    }[part]
    arguments = {"unknown": outputs(4, [DF] * 4, 1.0), part: wrong}
    with pytest.raises(DataError, match=r"of the class DF, got 2 images of the classes NV, DF; leave the class out"):
        measured(**arguments)


def test_a_training_without_a_class_has_names_of_its_own() -> None:
    recipe = Recipe(name="tiny", dataset="isic", size_px=64, backbone="tiny", weights="none")
    changed, options = without(recipe, PrepareOptions(seed=3), Diagnosis.AK)
    assert (changed.name, changed.dataset, options.name) == ("tiny-without-ak", "isic-without-ak", "isic-without-ak")
    assert (options.leave_out_class, options.size_px, options.seed) == (Diagnosis.AK, 64, 3)
    assert changed.allow_absent_classes
    _, of_source = without(recipe, PrepareOptions(), "hospital clínic, barcelona; " * 4)
    assert len(of_source.name) <= 63
    assert of_source.name != without(recipe, PrepareOptions(), "hospital clinic, barcelona; " * 4)[1].name
    with pytest.raises(ConfigError, match="name of a source"):
        without(recipe, PrepareOptions(), " ")


@pytest.fixture(scope="module")
def left_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LocalStore, DatasetRef, ModelRef]:
    place = tmp_path_factory.mktemp("unknown")
    store = LocalStore(place / "store")
    images = []
    for number in range(48):
        data = encode(draw(number))
        images.append((image_row(number, data, diagnosis=("MEL", "NV", "DF")[number % 3]), data))
    snapshot = store_snapshot(store, images, place / "snapshot")
    options = PrepareOptions(
        name="without-df", size_px=64, leave_out_class=Diagnosis.DF, n_folds=3, test=0.3, calibration=0.2
    )
    dataset = prepare(snapshot, options, store, workdir=place / "work")
    return place, store, dataset, publish_model(store, dataset, place)


def test_a_model_is_measured_as_it_is_served(left_out: tuple[Path, LocalStore, DatasetRef, ModelRef]) -> None:
    place, store, dataset, model = left_out
    job = UnknownClassJob(model=model, dataset=dataset, diagnosis=Diagnosis.DF, n_reference=10, n_bootstrap=100)
    spec = job.model_dump(mode="json")
    ref = run(spec, store=store, workdir=place / "work", on_progress=ignore_progress)
    metrics = read_unknown_class(store, ref)
    rows = open_dataset(store, dataset, place / "cache").rows
    is_unknown = rows["class_index"] == CLASS_ORDER.index(Diagnosis.DF)
    assert metrics.n_unknown == is_unknown.sum() == 16
    assert metrics.n_known == ((rows["split"] == "test") & ~is_unknown).sum()
    assert metrics.n_calibration == (rows["split"] == "calibration").sum()
    assert metrics.n_reference == 10
    assert len(metrics.scores) == 6
    assert ref.best_auroc == metrics.scores[0].auroc.value == max(one.auroc.value or 0 for one in metrics.scores)
    assert metrics.in_words() in read_file(store, ref, "summary.md").decode()
    assert run(spec, store=store, workdir=place / "work", on_progress=ignore_progress) == ref
    assert take_inventory(store).unknown == []


def test_a_model_that_may_know_the_class_is_refused(left_out: tuple[Path, LocalStore, DatasetRef, ModelRef]) -> None:
    place, store, dataset, model = left_out
    job = UnknownClassJob(model=model, dataset=dataset, diagnosis=Diagnosis.NV)
    with pytest.raises(ConfigError, match=r"without the class NV, got .* made without DF"):
        run(job.model_dump(mode="json"), store=store, workdir=place / "work", on_progress=ignore_progress)
