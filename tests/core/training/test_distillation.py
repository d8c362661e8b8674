"""A student learns from its teacher: the loss by its formula, the answers that are kept, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ArtifactCorrupt, ConfigError
from lesion_core.keys import digest_of, model_key
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.modeling.feed.input import TrainingFeed, evaluation_batches
from lesion_core.modeling.feed.losses import AdjustedCrossEntropy
from lesion_core.modeling.network.network import build_network
from lesion_core.recipes.class_shares import class_counts, logit_offsets, prior_of_logits
from lesion_core.recipes.recipe import Recipe
from lesion_core.recipes.sections import Imbalance
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.statistics.metrics import balanced_accuracy
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder
from lesion_core.training.distillation import TEACHER, Teaching, divergence, prior_shift
from lesion_core.training.loop.features import FeatureFeed, pool_features
from lesion_core.training.loop.fit import fit
from lesion_core.training.loop.step import make_logits
from lesion_core.training.spec import Distillation, TrainJob
from lesion_core.training.teacher import Teacher, open_teacher, teach
from tests.model_folders import SIZE_PX, write_model_folder

MakeRecipe = Callable[..., Recipe]
_RNG = np.random.default_rng(5)
_TEACHER, _STUDENT = _RNG.normal(0, 3, (2, 6, N_CLASSES)).astype(np.float32)
_LABELS = np.eye(N_CLASSES, dtype=np.float32)[[0, 1, 2, 4, 1, 7]]


def test_the_divergence_is_that_of_the_paper() -> None:
    softened = [softmax(logits.astype(np.float64) / 4.0, axis=1) for logits in (_TEACHER, _STUDENT)]
    expected = 16.0 * rel_entr(*softened).sum(axis=1).mean()
    assert expected > 1.0
    assert float(divergence(_TEACHER, _STUDENT, 4.0)) == pytest.approx(expected, rel=1e-5)
    assert float(divergence(_TEACHER, _TEACHER + 7.0, 4.0)) == pytest.approx(0.0, abs=1e-4)


def test_the_labels_have_the_weight_that_is_asked_for() -> None:
    labels = AdjustedCrossEntropy(np.zeros(N_CLASSES, np.float32), 0.0)
    targets = {"labels": _LABELS, TEACHER: _TEACHER}
    cross_entropy = -(_LABELS * log_softmax(_STUDENT.astype(np.float64), axis=1)).sum(axis=1).mean()
    taught = float(divergence(_TEACHER, _STUDENT, 2.0))
    for weight in (0.0, 0.25, 0.75):
        loss = Teaching(_TEACHER, Distillation(temperature=2.0, label_weight=weight)).blend(labels)
        expected = weight * cross_entropy + (1.0 - weight) * taught
        assert float(loss(targets, _STUDENT)) == pytest.approx(expected, rel=1e-5)


def test_soft_answers_pull_as_hard_at_any_temperature() -> None:
    """T^2 makes up for the gradient's 1 / T^2: at high temperatures it tends to the difference of the logits."""
    import tensorflow as tf

    pulls = []
    for temperature in (50.0, 500.0):
        student = tf.Variable(_STUDENT)
        with tf.GradientTape() as tape:
            value = divergence(tf.constant(_TEACHER), student.value(), temperature)
        pulls.append(tape.gradient(value, student).numpy())
    centred = [logits - logits.mean(axis=1, keepdims=True) for logits in (_STUDENT, _TEACHER)]
    expected = (centred[0] - centred[1]) / (N_CLASSES * len(_STUDENT))  # eq. 4 of the paper
    assert np.allclose(pulls[1], expected, rtol=0.05, atol=2e-3)
    assert np.allclose(pulls[0], pulls[1], atol=0.02)


def test_a_teachers_prior_is_exchanged_for_the_students() -> None:
    """Both are optimal for one truth; what differs is only how strongly each corrects for the prior it saw."""
    evidence = _RNG.normal(0, 2, (5, N_CLASSES))  # log likelihoods: logits for a flat prior
    priors = [np.arange(1, 9) / 36, np.arange(8, 0, -1) / 36]
    settings = [Imbalance(logit_adjustment=0.0), Imbalance(logit_adjustment=0.5)]
    teacher, student = (
        evidence + logit_offsets(p, 1 - s.logit_adjustment) for p, s in zip(priors, settings, strict=True)
    )
    own = [np.exp(logit_offsets(p, 1 - s.logit_adjustment)) for p, s in zip(priors, settings, strict=True)]
    shift = prior_shift(own[1], own[0])
    assert np.allclose(teacher + shift, student, atol=1e-5)
    assert np.abs(teacher - student).max() > 0.5
    flat = [prior_of_logits(np.arange(1, 9) * factor, Imbalance(logit_adjustment=1.0)) for factor in (1, 9)]
    assert not prior_shift(*flat).any()


@pytest.mark.parametrize("kind", ["records", "features"])
def test_each_image_keeps_its_own_answer(dataset: OpenDataset, make_recipe: MakeRecipe, kind: str) -> None:
    """The order is drawn anew each epoch; the answer must come along. Here it is the image's own age and class."""
    recipe = make_recipe(metadata_dropout=0.0)
    rows = dataset.split("train")
    marks = np.zeros((len(rows), N_CLASSES), np.float32)
    marks[:, 0] = rows["age_years"].fillna(-1)
    marks[:, 1] = rows["class_index"]
    if kind == "records":
        feed: TrainingFeed | FeatureFeed = TrainingFeed(dataset, rows, recipe, {TEACHER: marks})
    else:
        feed = FeatureFeed(pool_features(build_network(recipe), dataset, rows, 16), rows, recipe, {TEACHER: marks})
    n_seen = 0
    for inputs, targets in feed.batches(3, 1):
        assert TEACHER not in inputs
        found, ages = targets[TEACHER].numpy(), inputs["age_years"].numpy()
        assert np.array_equal(found[:, 0], np.where(np.isnan(ages), -1, ages))
        assert np.array_equal(found[:, 1], targets["labels"].numpy().argmax(axis=1))
        n_seen += len(found)
    assert n_seen == (len(rows) // 16 - 1) * 16


# What a perfect teacher would say, which for these images is their true class.
def _answers(dataset: OpenDataset) -> np.ndarray:
    truth = dataset.split("train")["class_index"].to_numpy()
    return 6.0 * np.eye(N_CLASSES, dtype=np.float32)[truth]


def _score(dataset: OpenDataset, recipe: Recipe, teaching: Teaching, place: Path) -> float:
    """Train with labels drawn by lot and return the score on the true labels of the validation split.

    No split is there to choose the epoch on: the choice would let the true labels back in.
    """
    rows = dataset.split("train")
    labels = np.random.default_rng(3).permutation(rows["class_index"].to_numpy())
    keras.utils.set_random_seed(recipe.seed)
    model = build_network(recipe)
    fit(model, recipe, replace(dataset, rows=rows.assign(class_index=labels)), checkpoints=place, teaching=teaching)
    check = dataset.split("validation")
    logits = make_logits(model)(evaluation_batches(dataset, check, 16))
    return balanced_accuracy(check["class_index"].to_numpy(), logits.argmax(axis=1))


def test_the_teacher_is_what_the_student_learns_from(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Labels by lot teach nothing, with shuffled answers or without; with the teacher's own, the student learns."""
    recipe = make_recipe(
        optimisation={"epochs": 8, "learning_rate": 0.01}, imbalance={"sampling_power": 0.0, "logit_adjustment": 0.0}
    )
    settings, answers = Distillation(temperature=2.0, label_weight=0.2), _answers(dataset)
    shuffled = np.random.default_rng(4).permutation(answers)
    taught = _score(dataset, recipe, Teaching(answers, settings), tmp_path / "taught")
    misled = _score(dataset, recipe, Teaching(shuffled, settings), tmp_path / "misled")
    scores = f"with the teacher {taught:.2f}, with its answers shuffled {misled:.2f}"
    print(scores)
    assert taught > 0.6, scores  # five classes: chance is 0.2
    assert taught > misled + 0.25, scores


def test_mixed_images_have_no_answer(dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(augmentation={"mixup": 0.4})
    with pytest.raises(ConfigError, match=r"one image at a time .* got mixup 0\.4 and cutmix 0"):
        fit(
            build_network(recipe),
            recipe,
            dataset,
            checkpoints=tmp_path,
            teaching=Teaching(_answers(dataset), Distillation()),
        )


@pytest.fixture(scope="module")
def teacher_ref(store: LocalStore, dataset_ref: DatasetRef, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """A published teacher that sees twice as many pixels as the records have, and corrects for half its prior."""
    folder = write_model_folder(tmp_path_factory.mktemp("teacher") / "model")
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["imbalance"] |= {"logit_adjustment": 0.5, "sampling_power": 0.0}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    provenance = json.loads((folder / "provenance.json").read_text())
    counts = {str(name): 10 * place for place, name in enumerate(CLASS_ORDER, start=1)}
    (folder / "provenance.json").write_text(json.dumps({**provenance, "class_counts": counts}))
    inputs = {"teacher of": dataset_ref.sha256}
    key = model_key("hand-made", digest_of(inputs))
    summary = {"recipe": "hand-made", "dataset": dataset_ref.model_dump(mode="json"), "synthetic": True}
    return ref_from_folder(
        ModelRef, key, *publish(store, key, folder, step="train", step_version=1, inputs=inputs, summary=summary)
    )


@pytest.fixture
def teacher(
    teacher_ref: ModelRef, store: LocalStore, dataset_ref: DatasetRef, make_recipe: MakeRecipe, tmp_path: Path
) -> Teacher:
    job = TrainJob(recipe=make_recipe(), dataset=dataset_ref).taught_by(teacher_ref, Distillation())
    opened = open_teacher(job, store, tmp_path)
    assert opened is not None
    return opened


class _Counting:
    """A teacher's model that counts what it is asked."""

    def __init__(self, teacher: Teacher) -> None:
        self.inner, self.n_images = teacher.predictor, 0
        self.folder, self.preprocessing = teacher.folder, teacher.predictor.preprocessing

    def predict(self, images: np.ndarray, metadata: dict[str, np.ndarray]) -> object:
        assert images.shape[1:] == (SIZE_PX, SIZE_PX, 3)  # its own size, not the records'
        self.n_images += len(images)
        return self.inner.predict(images, metadata)


def test_a_teacher_is_asked_once_and_what_is_kept_is_checked(
    teacher: Teacher, dataset: OpenDataset, store: LocalStore, make_recipe: MakeRecipe, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("lesion_core.training.teacher._BLOCK", 40)
    recipe, n_images, scratch = make_recipe(), len(dataset.split("train")), tmp_path / "answers"

    def ask() -> tuple[np.ndarray, int]:
        counting = _Counting(teacher)
        taught = teach(
            replace(teacher, predictor=counting), recipe, dataset, Distillation(), store=store, scratch=scratch
        )
        assert taught is not None
        return taught.logits, counting.n_images

    first, n_asked = ask()
    assert (len(first), n_asked) == (n_images, n_images)
    again, n_asked = ask()
    assert n_asked == 0
    assert np.array_equal(first, again)
    kept = sorted(scratch.iterdir())
    assert len(kept) == -(-n_images // 40)
    kept[0].unlink()  # as if the process had been killed before it
    damaged = bytearray(kept[1].read_bytes())
    damaged[-1] ^= 1
    kept[1].write_bytes(damaged)
    mended, n_asked = ask()
    assert n_asked == 80
    assert np.array_equal(first, mended)
    other = replace(dataset, rows=dataset.rows.iloc[::-1])  # the same files, other images in each
    counting = _Counting(teacher)
    teach(replace(teacher, predictor=counting), recipe, other, Distillation(), store=store, scratch=scratch)
    assert counting.n_images == n_images


def test_answers_are_brought_to_the_students_prior(
    teacher: Teacher, dataset: OpenDataset, store: LocalStore, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    plain, flat = (make_recipe(imbalance={"sampling_power": 0.0, "logit_adjustment": s}) for s in (0.0, 1.0))
    of_plain, of_flat = (
        teach(teacher, recipe, dataset, Distillation(), store=store, scratch=tmp_path / "answers")
        for recipe in (plain, flat)
    )
    assert of_plain is not None
    assert of_flat is not None
    difference = of_plain.logits - of_flat.logits
    counts = class_counts(dataset.split("train")["class_index"].to_numpy())
    expected = np.log(prior_of_logits(counts, plain.imbalance))
    assert np.allclose(difference - difference.mean(axis=1, keepdims=True), expected - expected.mean(), atol=1e-4)
    raw = teach(  # a student with the teacher's own strength and the same prior would move nothing
        teacher, flat, dataset, Distillation(), store=store, scratch=tmp_path / "answers"
    )
    assert raw is not None
    assert np.array_equal(raw.logits, of_flat.logits)


def test_another_version_under_the_teachers_name_is_refused(
    teacher_ref: ModelRef, store: LocalStore, dataset_ref: DatasetRef, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    other = teacher_ref.model_copy(update={"sha256": "0" * 64})
    job = TrainJob(recipe=make_recipe(), dataset=dataset_ref).taught_by(other, Distillation())
    with pytest.raises(ArtifactCorrupt, match="was published anew"):
        open_teacher(job, store, tmp_path)


def test_a_teacher_is_named_whole() -> None:
    with pytest.raises(ValueError, match="name one model version together"):
        TrainJob.model_validate(
            {
                "recipe": {"name": "x", "backbone": "tiny", "weights": "none"},
                "dataset": {
                    "id": "a/1", "key": "datasets/a/1", "sha256": "0" * 64, "n_images": 1, "n_groups": 1,
                    "size_px": 32,
                    "licence": "CC-0", "synthetic": True,
                },
                "teacher": "isic/0123",
            }
        )  # fmt: skip
