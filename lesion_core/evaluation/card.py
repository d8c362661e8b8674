"""The model card: what a model is, what it was made from, how well it does, and where it must not be trusted.

Its sections follow Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993), and CLEAR Derm
(Daneshjou et al. 2022, doi:10.1001/jamadermatol.2021.4915). Every number is read from the report or from the files
of the model and the dataset; none is written here.

A stored card never changes; what the archive withdrew since is added where the card is shown (``current_card``).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lesion_core.dataset.summary import DatasetSummary
from lesion_core.evaluation.report import CARD_NAME, Metrics, Subject, read_predictions
from lesion_core.isic.withdrawals import withdrawn_ids
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, N_CLASSES_IN_WORDS, Diagnosis
from lesion_core.lineage.exposure import find_exposure
from lesion_core.markup import code, escape_markdown, table
from lesion_core.recipes.former_names import with_present_names
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.serving.model_folder import ModelFolder, Provenance
from lesion_core.serving.wording import (
    BENIGN_WARNING,
    MAP_CAVEAT,
    METADATA,
    brief_disclaimer,
    disclaimer_without_model,
    percent,
    prior_in_words,
)
from lesion_core.statistics.measures import CLASS_MEASURES
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store

SYNTHETIC_LINE = (
    "**SYNTHETIC: generated images are in this model or in its test. No number here has a clinical meaning.**"
)
WITHDRAWN_TITLE = "Withdrawn images"
_USES = {
    "train": "For training",
    "validation": "For choosing epochs",
    "calibration": "For calibration",
    "test": "For this report's measurement",
}
_MAX_ATTRIBUTIONS = 40
_SPLITS = ("train", "validation", "calibration", "test", "quarantined")


def write_card(metrics: Metrics, model: ModelRef, folder: ModelFolder, dataset: DatasetSummary) -> str:
    """Return the card as Markdown; where anything is synthetic, its first line says so.

    Args:
        metrics: What was measured.
        model: The model's reference.
        folder: The model's own files.
        dataset: What it was measured on, all splits.
    """
    sections = (
        _opening(metrics, model, folder),
        _section("Intended use", [disclaimer_without_model()[0].text, BENIGN_WARNING]),
        _section("Performance", [_performance(metrics)]),
        _section("By class", [_by_class(metrics)]),
        _section("Training data", [_training(folder)]),
        _section("Test data", [_test_data(metrics, dataset)]),
        _section("Limits", [_bullets(_limits(metrics, folder))]),
        _section("Licence and attribution", [_licence(metrics, folder)]),
        _section("Provenance", [_provenance(metrics, model, folder)]),
    )
    mark = f"{SYNTHETIC_LINE}\n\n" if metrics.subject.synthetic else ""
    return mark + "\n\n".join(sections) + "\n"


def current_card(store: Store, report: ReportRef) -> str:
    """Return a report's card, with what the archive withdrew since of the images that went into it.

    Raises:
        ArtifactNotFound: The report is not in the store.
        ArtifactCorrupt: Stored bytes are not those that were published.
    """
    card = read_file(store, report, CARD_NAME).decode()
    withdrawn = withdrawn_ids(store)
    if not withdrawn:
        return card
    exposure = find_exposure(store, report.model, withdrawn)
    tested = sorted(withdrawn.intersection(read_predictions(store, report)["isic_id"]))
    lines = [*_withdrawn(exposure.images), *_withdrawn({report.split: tuple(tested)} if tested else {})]
    lines += [
        f"Which images it saw in {code(name)} is not known: that is stored no more." for name in exposure.unknown
    ]
    if not lines:
        return card
    opening = (
        f"The archive has withdrawn {exposure.n_images:,} images that this model was made from, and {len(tested):,} "
        "that it was measured on, since they were used. Later datasets are without them; the numbers above are not."
    )
    return f"{card}\n{_section(WITHDRAWN_TITLE, [opening, _bullets(lines)])}\n"


def _withdrawn(images: Mapping[str, Sequence[str]]) -> Iterable[str]:
    return (f"{_USES[split]} ({len(ids):,}): {', '.join(ids)}" for split, ids in images.items())


def _opening(metrics: Metrics, model: ModelRef, folder: ModelFolder) -> str:
    recipe, side = folder.recipe, folder.preprocessing.size_px
    present = with_present_names(recipe)
    views, members = present.get("test_time_augmentation", 1), present.get("ensemble_size", 1)
    averaged = f", averaged over {members} networks and {views} views" if members > 1 or views > 1 else ""
    patient = "alone goes in" if recipe.get("fusion") == "none" else f"and, where known, {METADATA} go in"
    return (
        f"# Model card: {escape_markdown(model.id)}\n\n"
        f"{brief_disclaimer()}\n\n"
        f"One dermoscopic image ({side} × {side} pixels) {patient}; "
        f"probabilities for {len(CLASS_ORDER)} classes come out. Recipe {code(model.recipe)}: backbone "
        f"{code(recipe.get('backbone'))}, fusion {code(recipe.get('fusion'))}{averaged}; probabilities calibrated "
        f"with temperature {metrics.probabilities.temperature:.3f}. They are {_prior(folder)}."
    )


def _prior(folder: ModelFolder) -> str:
    """Say which class shares the probabilities stand for."""
    prior = prior_in_words(folder.class_prior)
    is_focal = folder.recipe.get("imbalance", {}).get("loss") == "focal"
    return f"{prior} (roughly: its focal loss shifts them further)" if is_focal else prior


def _performance(metrics: Metrics) -> str:
    subject = metrics.subject
    introduction = (
        f"Measured on {subject.n_images:,} images ({subject.n_groups:,} groups of lesions and patients) of the "
        f"{subject.split_in_words} of {code(subject.dataset_id)}, {_unseen(subject.n_seen_in_training)}. Intervals "
        f"are 95 %, from {subject.n_bootstrap:,} resamples of whole groups within classes, or by formula where a "
        "class has few groups."
    )
    if metrics.probabilities.class_shares is not None:
        introduction += (
            " Brier score, log loss and calibration error are of probabilities that were brought to the class shares "
            "of these images."
        )
    introduction += _looks(subject)
    rows = [(row["measure"], row["value"], row["interval"] or "–") for row in metrics.headline_rows()]
    return f"{introduction}\n\n{table(('Measure', 'Value', '95 % interval'), rows)}{_predictive_values(metrics)}"


def _predictive_values(metrics: Metrics) -> str:
    """Say what a malignant or another answer means where malignancy is as rare as in practice."""
    rows = metrics.predictive_rows()
    if not rows:
        return ""
    header = ("Malignant by", "Prevalence", "PPV (95 % interval)", "NPV (95 % interval)")
    return (
        "\n\nShare of malignant answers (PPV) and of other answers (NPV) that would be right, by how common "
        f"malignant lesions are:\n\n{table(header, [tuple(row.values()) for row in rows])}"
    )


def _looks(subject: Subject) -> str:
    """Say how fresh the test images were: the more recipes were tried on them, the less a number on them says."""
    if (looks := subject.looks) is None:
        return ""
    text = " No other model had been measured on this test split before."
    if looks.any_recipe:
        text = (
            f" Other models that had been measured on this test split before: {looks.any_recipe:,}, of which "
            f"{looks.same_recipe:,} of the recipe {code(subject.recipe)}."
        )
    if looks.overlapping:
        text += f" On other test splits that may share images with it, models measured: {looks.overlapping:,}."
    return text


def _unseen(n_seen: int) -> str:
    return f"of which {n_seen:,} were used in its making" if n_seen else "none of which was used in its making"


def _by_class(metrics: Metrics) -> str:
    shown = [label for one in CLASS_MEASURES for label in one.card_columns]
    header = ("Class", "Images", "Groups", *(label[0].upper() + label[1:] for label in shown))
    rows = [
        (row["class"], f"{row['images']:,}", f"{row['groups']:,}", *(row[label] or "–" for label in shown))
        for row in metrics.class_rows()
    ]
    return table(header, rows)


def _training(folder: ModelFolder) -> str:
    provenance = folder.provenance
    kind = "generated images" if provenance.synthetic else "dermoscopic images"
    counts = _class_counts(provenance.class_counts)
    by_class = f" By class: {', '.join(f'{name} {n:,}' for name, n in counts.items())}." if counts else ""
    return f"{provenance.n_train_images:,} {kind}.{by_class}{_parent_models(provenance)}"


def _parent_models(provenance: Provenance) -> str:
    start = f" It started from the weights of {code(provenance.start_from)}." if provenance.start_from else ""
    taught = f" It also learnt from the answers of {code(provenance.teacher)}." if provenance.teacher else ""
    handed_on = " What those were trained on counts for its licence and credits." if start or taught else ""
    return start + taught + handed_on


def _class_counts(stated: Mapping[str, Any]) -> dict[str, int]:
    """Return images by class, whether stated plainly or under 'train'."""
    counts = stated.get("train", stated)
    return {str(name): int(counts[str(name)]) for name in CLASS_ORDER if str(name) in counts}


def _test_data(metrics: Metrics, dataset: DatasetSummary) -> str:
    splits = [name for name in _SPLITS if sum(dataset.images.get(name, {}).values())]
    rows = [
        (str(name), *(f"{dataset.images[split].get(str(name), 0):,}" for split in splits)) for name in CLASS_ORDER
    ]
    total = ("all", *(f"{sum(dataset.images[split].values()):,}" for split in splits))
    missing = ", ".join(f"{name} {share:.2f}" for name, share in sorted(dataset.missing.items()))
    return (
        f"Dataset {code(metrics.subject.dataset_id)}, images by class and split{_of_fold(metrics)}. Lesions, "
        "patients, identical files and near-duplicates stay in one split.\n\n"
        f"{table(('Class', *splits), [*rows, total])}\n\n"
        f"Share of images without a value: {missing}."
    )


def _of_fold(metrics: Metrics) -> str:
    fold = metrics.subject.fold
    return "" if fold is None else f" of a cross-validation in which fold {fold} is the test"


def _limits(metrics: Metrics, folder: ModelFolder) -> Iterable[str]:
    malignancy = metrics.malignancy
    if malignancy.ppv_at_1_percent is not None and malignancy.ppv_at_5_percent is not None:
        yield (
            f"Where 1 of 100 lesions is malignant, {percent(malignancy.ppv_at_1_percent)} of its malignant answers "
            f"would be right; where 5 of 100 are, {percent(malignancy.ppv_at_5_percent)}."
        )
    yield from _absences("trained on", folder.provenance.absent_classes)
    yield from _absences("tested on", metrics.subject.absent_classes)
    few = [str(one.diagnosis) for one in metrics.classes if one.sensitivity.method == "Wilson"]
    if few:
        yield (
            f"Few groups, or all alike, in the test split for {', '.join(few)}: those sensitivity intervals are "
            "Wilson's, counting groups as trials."
        )
    yield f"A lesion of any other diagnosis is answered with one of the {N_CLASSES_IN_WORDS} classes all the same."
    yield "Measured on images of the same sources as the training images; no other hospital's images were tested."
    yield "Skin tone is not recorded, so performance by skin tone is not known."
    yield MAP_CAVEAT


def _absences(what: str, classes: Sequence[str]) -> Iterable[str]:
    if classes:
        names = ", ".join(f"{CLASS_NAMES[Diagnosis(name)]} ({name})" for name in classes)
        yield f"Not {what} a single image of: {names}. Nothing is known about these classes."


def _licence(metrics: Metrics, folder: ModelFolder) -> str:
    attributions = [text for text in folder.provenance.attributions if text.strip()]
    named = escape_markdown("; ".join(attributions[:_MAX_ATTRIBUTIONS]))
    rest = len(attributions) - _MAX_ATTRIBUTIONS
    credit = f"Images by: {named}{f'; and {rest:,} more, in provenance.json' if rest > 0 else ''}."
    return (
        f"The most restrictive licence of any image used is **{metrics.subject.licence}**; the model is offered "
        f"under no wider terms than that. {credit if attributions else 'No attribution is recorded.'}"
    )


def _provenance(metrics: Metrics, model: ModelRef, folder: ModelFolder) -> str:
    subject = metrics.subject
    rows = [
        ("Model", code(model.id), code(model.sha256)),
        ("Trained on", code(model.dataset.id), code(model.dataset.sha256)),
        ("Tested on", code(subject.dataset_id), code(subject.dataset_sha256)),
    ]
    line = (
        f"Seed of the training {folder.recipe.get('seed')}, of the resampling {subject.seed}; evaluation version "
        f"{subject.step_version}."
    )
    return f"{table(('', 'Id', 'sha256 of its index'), rows)}\n\n{line}"


def _section(title: str, paragraphs: Sequence[str]) -> str:
    return "\n\n".join([f"## {title}", *paragraphs])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
