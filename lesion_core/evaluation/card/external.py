"""What a card says of an external test set: its labels, and what of it was left out."""

from collections.abc import Iterable

from lesion_core.evaluation.card.content import CardTable
from lesion_core.evaluation.report import ExternalSubject
from lesion_core.labels import MALIGNANT


def external_tables(external: ExternalSubject | None) -> tuple[CardTable, ...]:
    """Return what the labels of an external test set stand for; nothing where a split of the dataset was measured."""
    if external is None:
        return ()
    return (
        CardTable(
            title="External test",
            topic="external tests",
            note=" ".join(_note(external)),
            header=("Label", "Counts as", "Images"),
            rows=tuple((one.label, " or ".join(one.classes), f"{one.n_images:,}") for one in external.labels),
        ),
    )


def _note(external: ExternalSubject) -> Iterable[str]:
    yield (
        f"All numbers of this card are of images of the external test set {external.name}, none of a split of the "
        f"training's dataset. Of {external.n_listed:,} rows of its table, the images with these labels can be used."
    )
    yield from _pools(external)
    if external.left_out:
        left_out = "; ".join(f"{reason}: {n:,}" for reason, n in external.left_out.items())
        yield f"Left out, by name in left_out.csv: {left_out}."
    if external.not_compared:
        named = ", ".join(external.not_compared)
        yield f"Near-duplicates of images of {named} could not be looked for: its pixels were removed."


def _pools(external: ExternalSubject) -> Iterable[str]:
    for pool in external.pools:
        yield (
            f"{' and '.join(pool)} count as one class: an answer of either is right, and all numbers stand under "
            f"{pool[0]}."
        )
        if len({name in MALIGNANT for name in pool}) > 1:
            yield (
                "Malignant sensitivity and specificity are of the other images alone, since nobody knows which of "
                "these are malignant."
            )
