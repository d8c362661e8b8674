"""Sentences of a card that hold its numbers, the same in every form of it.

What comes from elsewhere (ids, names in a recipe) goes through ``name``: a code span in Markdown, plain text in the
forms that escape whole values.
"""

from collections.abc import Callable, Iterable

from lesion_core.evaluation.card.content import CardTable, ClassRow, ModelCard, Withdrawal
from lesion_core.fields.table import FIELDS
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER
from lesion_core.serving.wording import METADATA
from lesion_core.statistics.measures import CLASS_MEASURES

Name = Callable[[object], str]
USES = {
    "train": "For training",
    "validation": "For choosing epochs",
    "calibration": "For calibration",
}
# What the archive may record of an image that is no metadata field.
_NOUNS = {"lesion_id": "lesion", "patient_id": "patient", "confirm_type": "how the diagnosis was made"}
MEASURED = "For this report's measurement"
SYNTHETIC = "SYNTHETIC: generated images are in this model or in its test. No number here has a clinical meaning."


def opening(card: ModelCard, name: Name = str) -> str:
    """Say what goes in, what comes out, and what lies between."""
    one = card.identity
    several = one.n_networks > 1 or one.n_views > 1
    averaged = f", averaged over {one.n_networks} networks and {one.n_views} views" if several else ""
    patient = "alone goes in" if one.fusion == "none" else f"and, where known, {METADATA} go in"
    return (
        f"One dermoscopic image ({one.size_px} × {one.size_px} pixels) {patient}; "
        f"probabilities for {len(card.classes)} classes come out. Recipe {name(one.recipe)}: backbone "
        f"{name(one.backbone)}, fusion {name(one.fusion)}{averaged}; probabilities calibrated "
        f"with temperature {one.temperature:.3f}. They are {one.prior}."
    )


def measurement(card: ModelCard, name: Name = str) -> str:
    """Say on what it was measured, and how fresh that was."""
    one = card.measured
    return (
        f"Measured on {one.n_images:,} images ({one.n_groups:,} groups of lesions and patients) of the "
        f"{one.split} of {name(card.data.dataset_id)}, {_unseen(one.n_seen_in_training)}. Intervals "
        f"are 95 %, from {one.n_bootstrap:,} resamples of whole groups within classes, or by formula where a "
        f"class has few groups.{_at_shares(card)}{_looks(card, name)}"
    )


def _unseen(n_seen: int) -> str:
    return f"of which {n_seen:,} were used in its making" if n_seen else "none of which was used in its making"


def _at_shares(card: ModelCard) -> str:
    if not card.measured.at_shares:
        return ""
    return (
        " Brier score, log loss and calibration error are of probabilities that were brought to the class shares "
        "of these images."
    )


def _looks(card: ModelCard, name: Name) -> str:
    """Say how fresh the test images were: the more recipes were tried on them, the less a number on them says."""
    if (looks := card.measured.looks) is None:
        return ""
    text = " No other model had been measured on this test split before."
    if looks.any_recipe:
        text = (
            f" Other models that had been measured on this test split before: {looks.any_recipe:,}, of which "
            f"{looks.same_recipe:,} of the recipe {name(card.identity.recipe)}."
        )
    if looks.overlapping:
        text += f" On other test splits that may share images with it, models measured: {looks.overlapping:,}."
    return text


def headline(card: ModelCard) -> tuple[tuple[str, str, str], ...]:
    """Return rows of measure, value and 95 % interval."""
    return tuple(
        (row.label, row.estimate.value_in_words(), row.estimate.interval_in_words() or "–")
        for row in card.measured.rows
    )


def by_class(card: ModelCard) -> CardTable:
    """Return one row for each class against the rest."""
    shown = [label for one in CLASS_MEASURES for label in one.card_columns]
    return CardTable(
        title="By class",
        note="",
        header=("Class", "Images", "Groups", *(label[0].upper() + label[1:] for label in shown)),
        rows=tuple(_class_cells(row) for row in card.measured.classes),
    )


def _class_cells(row: ClassRow) -> tuple[str, ...]:
    first = (f"{CLASS_NAMES[row.diagnosis]} ({row.diagnosis})", f"{row.n_images:,}", f"{row.n_groups:,}")
    cells = []
    for one in CLASS_MEASURES:
        estimate = row.estimates[one.name]
        said = {one.label: estimate.value_in_words(), one.interval_label: estimate.interval_in_words()}
        cells += [said[label] or "–" for label in one.card_columns]
    return (*first, *cells)


def training(card: ModelCard, name: Name = str) -> str:
    """Say how many images of which class it learnt from, and from which models."""
    one = card.training
    kind = "generated images" if one.synthetic else "dermoscopic images"
    counts = ", ".join(f"{label} {n:,}" for label, n in one.images.items())
    start = f" It started from the weights of {name(one.start_from)}." if one.start_from else ""
    taught = f" It also learnt from the answers of {name(one.teacher)}." if one.teacher else ""
    handed_on = " What those were trained on counts for its licence and credits." if start or taught else ""
    return f"{one.n_images:,} {kind}.{f' By class: {counts}.' if counts else ''}{start}{taught}{handed_on}"


def data_of_test(card: ModelCard, name: Name = str) -> str:
    """Say what the table of images by class and split is of."""
    fold = card.measured.fold
    of_fold = "" if fold is None else f" of a cross-validation in which fold {fold} is the test"
    return (
        f"Dataset {name(card.data.dataset_id)}, images by class and split{of_fold}. Lesions, patients, identical "
        "files and near-duplicates stay in one split."
    )


def splits(card: ModelCard) -> CardTable:
    """Return the images by class and split."""
    images = card.data.images
    rows = [(str(name), *(f"{by_class[str(name)]:,}" for by_class in images.values())) for name in CLASS_ORDER]
    total = ("all", *(f"{sum(by_class.values()):,}" for by_class in images.values()))
    return CardTable(title="Test data", note="", header=("Class", *images), rows=(*rows, total))


def missing(card: ModelCard, *, by_column: bool = False) -> str:
    """Say which share of the images has no value, field by field; ``by_column``: as the tables call the fields."""
    named = {} if by_column else {**{field.name: field.noun for field in FIELDS}, **_NOUNS}
    shares = ", ".join(f"{named.get(name, name)} {share:.2f}" for name, share in card.data.missing.items())
    return f"Share of images without a value: {shares}."


def provenance(card: ModelCard) -> tuple[tuple[str, str, str], ...]:
    """Return rows of what, id and sha256."""
    return (
        ("Model", card.identity.model_id, card.identity.sha256),
        ("Trained on", card.training.dataset_id, card.training.dataset_sha256),
        ("Tested on", card.data.dataset_id, card.data.dataset_sha256),
    )


def seeds(card: ModelCard) -> str:
    """Say what is needed besides to do it again."""
    return (
        f"Seed of the training {card.training_seed}, of the resampling {card.measured.seed}; evaluation version "
        f"{card.measured.step_version}."
    )


def withdrawn(withdrawal: Withdrawal) -> str:
    """Say how many images are gone."""
    return (
        f"The archive has withdrawn {withdrawal.n_made_from:,} images that this model was made from, and "
        f"{withdrawal.n_tested_on:,} that it was measured on, since they were used. Later datasets are without them; "
        "the numbers above are not."
    )


def withdrawn_lines(withdrawal: Withdrawal, name: Name = str) -> Iterable[str]:
    """Yield which images are gone, and of what it cannot be told."""
    for use, ids in withdrawal.images.items():
        yield f"{use} ({len(ids):,}): {', '.join(ids)}"
    for one in withdrawal.unknown:
        yield f"Which images it saw in {name(one)} is not known: that is stored no more."
