"""A model card's content from what is stored: the report's numbers, the model's folder and the dataset's summary.

Every number is read from there; none is written here.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from lesion_core.dataset.summary import DatasetSummary
from lesion_core.evaluation.card.calibration import calibration_tables
from lesion_core.evaluation.card.content import (
    CardTable,
    ClassEntry,
    ClassRow,
    Identity,
    Measured,
    ModelCard,
    PerformanceRow,
    Training,
)
from lesion_core.evaluation.card.data import data_of
from lesion_core.evaluation.card.external import external_tables
from lesion_core.evaluation.card.limits import limits_of
from lesion_core.evaluation.card.predictive import predictive_tables
from lesion_core.evaluation.card.statements import NO_SKIN_TONE, REASONS, SAME_SOURCES, USE
from lesion_core.evaluation.report import ClassMetrics, Metrics
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, CLASSES
from lesion_core.recipes.former_names import with_present_names
from lesion_core.refs import ModelRef
from lesion_core.serving.model_folder import ModelFolder
from lesion_core.serving.wording import prior_in_words
from lesion_core.statistics.measures import CLASS_MEASURES, MEASURES


def card_of(
    metrics: Metrics,
    model: ModelRef,
    folder: ModelFolder,
    dataset: DatasetSummary,
    sections: Iterable[CardTable] = (),
) -> ModelCard:
    """Return the content of a model's card.

    Args:
        metrics: What was measured.
        model: The model's reference.
        folder: The model's own files.
        dataset: What it was measured on, all splits.
        sections: Further analyses; a topic that none of them has is said not to be measured.

    Raises:
        ValueError: A section's rows and header differ in length.
    """
    card = ModelCard(
        identity=_identity(metrics, model, folder),
        use=USE,
        classes=_classes(metrics, folder),
        measured=_measured(metrics),
        not_measured=dict(REASONS),
        training=_training(model, folder),
        data=data_of(metrics.subject, dataset),
        limits=tuple(limits_of(metrics, folder)),
        licence=metrics.subject.licence,
        attributions=tuple(text for text in folder.provenance.attributions if text.strip()),
        training_seed=str(folder.recipe.get("seed")),
    )
    own = (*calibration_tables(metrics.probabilities), *external_tables(metrics.subject.external))
    return with_sections(card, (*predictive_tables(metrics), *own, *sections))


def with_sections(card: ModelCard, tables: Iterable[CardTable]) -> ModelCard:
    """Return the card with further analyses; what they answer is no longer said not to be measured."""
    sections = (*card.sections, *tables)
    answered = {table.topic for table in sections}
    reasons = {topic: reason for topic, reason in card.not_measured.items() if topic not in answered}
    has_skin_tone = any("skin type" in row for table in sections for row in table.rows if table.topic == "subgroups")
    outdated = {*([SAME_SOURCES] if "external tests" in answered else []), *([NO_SKIN_TONE] if has_skin_tone else [])}
    limits = tuple(one for one in card.limits if one not in outdated)
    return card.model_copy(update={"sections": sections, "not_measured": reasons, "limits": limits})


def _identity(metrics: Metrics, model: ModelRef, folder: ModelFolder) -> Identity:
    recipe = folder.recipe
    present = with_present_names(recipe)
    return Identity(
        model_id=model.id,
        sha256=model.sha256,
        recipe=model.recipe,
        backbone=str(recipe.get("backbone")),
        fusion=str(recipe.get("fusion")),
        start_weights=PurePosixPath(str(recipe.get("weights"))).name,  # a path's folder is nobody's business
        size_px=folder.preprocessing.size_px,
        n_networks=present.get("ensemble_size", 1),
        n_views=present.get("test_time_augmentation", 1),
        temperature=metrics.probabilities.temperature,
        prior=_prior(folder),
        imbalance={str(name): str(value) for name, value in recipe.get("imbalance", {}).items()},
        synthetic=metrics.subject.synthetic,
    )


def _prior(folder: ModelFolder) -> str:
    """Say which class shares the probabilities stand for."""
    prior = prior_in_words(folder.class_prior)
    is_focal = folder.recipe.get("imbalance", {}).get("loss") == "focal"
    return f"{prior} (roughly: its focal loss shifts them further)" if is_focal else prior


def _classes(metrics: Metrics, folder: ModelFolder) -> tuple[ClassEntry, ...]:
    trained = training_counts(folder)
    return tuple(
        ClassEntry(
            diagnosis=one.diagnosis,
            name=CLASS_NAMES[one.diagnosis],
            nature=CLASSES[one.diagnosis].nature,
            n_train=trained.get(str(one.diagnosis)),
            n_tested=one.n_images,
            n_tested_groups=one.n_groups,
        )
        for one in metrics.classes
    )


def _measured(metrics: Metrics) -> Measured:
    subject, malignancy = metrics.subject, metrics.malignancy
    return Measured(
        split=subject.split_in_words,
        fold=subject.fold,
        n_images=subject.n_images,
        n_groups=subject.n_groups,
        n_seen_in_training=subject.n_seen_in_training,
        n_bootstrap=subject.n_bootstrap,
        seed=subject.seed,
        step_version=subject.step_version,
        looks=subject.looks,
        at_shares=metrics.probabilities.class_shares is not None,
        chance=metrics.chance,
        rows=_rows(metrics),
        classes=tuple(_class_row(one) for one in metrics.classes),
        absent_classes=subject.absent_classes,
        ppv_at_1_percent=malignancy.ppv_at_1_percent,
        ppv_at_5_percent=malignancy.ppv_at_5_percent,
    )


def _rows(metrics: Metrics) -> tuple[PerformanceRow, ...]:
    at_shares = metrics.probabilities.class_shares is not None
    return tuple(
        PerformanceRow(
            name=one.name,
            label=one.heading(metrics.chance, at_shares=at_shares),
            better=one.better,
            is_of_probabilities=one.is_of_probabilities,
            estimate=metrics.estimate(one),
        )
        for one in MEASURES
        if one.is_headline
    )


def _class_row(one: ClassMetrics) -> ClassRow:
    estimates = {measure.name: one.estimate(measure) for measure in CLASS_MEASURES}
    return ClassRow(diagnosis=one.diagnosis, n_images=one.n_images, n_groups=one.n_groups, estimates=estimates)


def _training(model: ModelRef, folder: ModelFolder) -> Training:
    provenance = folder.provenance
    return Training(
        dataset_id=model.dataset.id,
        dataset_sha256=model.dataset.sha256,
        n_images=provenance.n_train_images,
        images=training_counts(folder),
        synthetic=provenance.synthetic,
        start_from=provenance.start_from,
        teacher=provenance.teacher,
        absent_classes=provenance.absent_classes,
    )


def training_counts(folder: ModelFolder) -> dict[str, int]:
    """Return training images by class, whether stated plainly or under 'train'; empty where they are not."""
    stated = folder.provenance.class_counts
    counts = stated.get("train", stated)
    return {str(name): int(counts[str(name)]) for name in CLASS_ORDER if str(name) in counts}
