"""Figures are looked at by people; here: that they are written, marked, repeatable and leave no state behind."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesion_core import figures
from lesion_core.dataset.proof.certificate import Shortcut
from lesion_core.figures import Case, Grid, Panel, Subject
from lesion_core.figures.layout import lay_out
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.modeling.network.architecture import Block, NetworkSummary
from lesion_core.statistics.decision_curve import decision_curve
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.metrics import (
    MALIGNANT_INDICES,
    confusion_matrix,
    precision_recall_of,
    reliability,
    roc_of,
)
from lesion_core.statistics.selective import risk_coverage
from tests.core.evaluation.strategies import make_scores

TRUE, PROBS = make_scores(1, 120, classes=7)
SCORE = Estimate(value=0.6, low=0.4, high=0.8, method="group bootstrap")
UNKNOWN = Estimate(value=None)
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "stage": ["head", "all", "all"],
        "loss": [2.0, 1.0, 0.9],
        "val_balanced_accuracy": [0.2, 0.5, 0.4],
    }
)
TELLING = Shortcut(
    features="source",
    balanced_accuracy=0.4,
    chance=0.125,
    shuffled_mean=0.126,
    shuffled_best=0.15,
    n_shuffles=19,
    n_images=800,
)
ONES = np.ones(8, int)
# An attribution is whatever somebody wrote: a formula to matplotlib, a script without a sign in the font, a novel.
FOREIGN = ["$\\frac{1}{2$", "皮肤科 \x07", "A department " * 30, ""]
EMPTY_FIRST = np.array([[0, *[2] * 7]] * 4)
Draw = Callable[[Path, Subject], Path]


def _cases(n: int) -> list[Case]:
    pixels = np.zeros((16, 16, 3), np.uint8)
    return [Case(f"ISIC_{number:07d}", pixels, Diagnosis.MEL, PROBS[number]) for number in range(n)]


DRAWINGS: dict[str, Draw] = {
    "differences": lambda path, subject: figures.draw_differences(
        [("worse", Estimate(value=-0.1, low=-0.2, high=-0.05), 0.0), ("apart", UNKNOWN, None)], "best", path, subject
    ),
    "no differences": lambda path, subject: figures.draw_differences([], "alone", path, subject),
    "scores": lambda path, subject: figures.draw_scores(
        [("a-name-of-sixty-letters-" * 3, SCORE, [0.5, 0.7]), ("one", UNKNOWN, [0.4])], 0.125, path, subject
    ),
    "sensitivities": lambda path, subject: figures.draw_sensitivities(
        ["one", "other"], np.array([[0.2] * 7 + [np.nan], [0.9] * 7 + [np.nan]]), path, subject
    ),
    "curves": lambda path, subject: figures.draw_curves(
        {"one": [np.array([0.2, np.nan, 0.5]), np.array([0.3])], "never measured": [np.array([np.nan])]},
        path,
        subject,
    ),
    "confusion": lambda path, subject: figures.draw_confusion_matrix(
        confusion_matrix(TRUE, PROBS.argmax(axis=1)), path, subject
    ),
    "roc": lambda path, subject: figures.draw_roc(
        {name: roc_of(TRUE, PROBS, place) for place, name in enumerate(CLASS_ORDER)},
        dict.fromkeys(CLASS_ORDER, SCORE),
        path,
        subject,
    ),
    "risk and coverage": lambda path, subject: figures.draw_risk_coverage(
        risk_coverage(PROBS.max(axis=1), PROBS.argmax(axis=1) != TRUE, TRUE == 0, np.zeros(len(TRUE), bool)),
        path,
        subject,
    ),
    "no malignant image": lambda path, subject: figures.draw_risk_coverage(
        risk_coverage(PROBS.max(axis=1), TRUE == 0, np.zeros(len(TRUE), bool), TRUE < 0), path, subject
    ),
    "coverage": lambda path, subject: figures.draw_coverage(
        [(name, SCORE, Estimate(value=2.1), place > 5) for place, name in enumerate(CLASS_ORDER[:7])]
        + [(CLASS_ORDER[7], UNKNOWN, UNKNOWN, True)],
        0.9,
        path,
        subject,
    ),
    "precision and recall": lambda path, subject: figures.draw_precision_recall(
        {name: precision_recall_of(TRUE, PROBS, place) for place, name in enumerate(CLASS_ORDER)},
        dict.fromkeys(CLASS_ORDER, SCORE),
        dict.fromkeys(CLASS_ORDER, 0.1),
        path,
        subject,
    ),
    "decision curve": lambda path, subject: figures.draw_decision_curve(
        decision_curve(np.isin(TRUE, MALIGNANT_INDICES), PROBS[:, MALIGNANT_INDICES].sum(axis=1)), path, subject
    ),
    "decision curve without malignant images": lambda path, subject: figures.draw_decision_curve(
        decision_curve(np.zeros(4, bool), np.linspace(0, 0.4, 4)), path, subject
    ),
    "reliability": lambda path, subject: figures.draw_reliability(reliability(TRUE, PROBS), SCORE, path, subject),
    "sensitivity": lambda path, subject: figures.draw_sensitivity(
        [(name, 3, 2, UNKNOWN if name == "SCC" else SCORE) for name in CLASS_ORDER], 0.125, path, subject
    ),
    "distribution": lambda path, subject: figures.draw_class_distribution(
        {"train": np.arange(8), "test": np.ones(8, int)}, path, subject
    ),
    "history": lambda path, subject: figures.draw_history(HISTORY, path, subject),
    "history without validation": lambda path, subject: figures.draw_history(
        HISTORY.assign(val_balanced_accuracy=np.nan).drop(columns="stage"), path, subject
    ),
    "history of several networks": lambda path, subject: figures.draw_history(
        pd.concat([HISTORY.assign(member=number) for number in range(1, 11)]), path, subject
    ),
    "misclassified": lambda path, subject: figures.draw_misclassified(_cases(7), 9, path, subject),
    "ages": lambda path, subject: figures.draw_ages(
        np.arange(8)[:, None] * np.arange(19), np.array([0, *[2000] * 7]), 5, path, subject
    ),
    "panels": lambda path, subject: figures.draw_panels(
        "By class",
        [
            Panel("Sex", {"female": ONES, "unknown": ONES}, "unknown"),
            Panel("Licence", {FOREIGN[0]: ONES, FOREIGN[1]: ONES}),
        ],
        path,
        subject,
    ),
    "grid": lambda path, subject: figures.draw_grid(
        "Sources",
        Grid("% of the class", FOREIGN, list(CLASS_ORDER), np.eye(4, 8, dtype=int), EMPTY_FIRST),
        path,
        subject,
    ),
    "sizes": lambda path, subject: figures.draw_sizes(
        np.array([[640 + number, 480] for number in range(5000)]), np.ones((5000, 8), int), path, subject
    ),
    "one size": lambda path, subject: figures.draw_sizes(np.array([[200, 150]]), ONES[None], path, subject),
    "shortcuts": lambda path, subject: figures.draw_shortcuts(
        [TELLING, TELLING.model_copy(update={"balanced_accuracy": 0.1})], path, subject
    ),
    "one shortcut": lambda path, subject: figures.draw_shortcuts([TELLING], path, subject),
    "samples": lambda path, subject: figures.draw_samples(
        {place: np.full((place, 16, 16, 3), 90, np.uint8) for place in range(8)}, ONES, path, subject
    ),
    "no samples": lambda path, subject: figures.draw_samples({}, ONES * 0, path, subject),
    "nothing misclassified": lambda path, subject: figures.draw_misclassified([], 0, path, subject),
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_figure_is_an_image_and_the_same_each_time(draw: Draw, tmp_path: Path) -> None:
    subject = Subject("a model on 120 test images", synthetic=False)
    first, second = draw(tmp_path / "new" / "a.png", subject), draw(tmp_path / "b.png", subject)
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        assert image.format == "PNG"
        assert min(image.size) > 80
        assert len(np.unique(np.asarray(image.convert("L")))) > 10


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_figure_of_generated_images_says_so_in_its_first_band(draw: Draw, tmp_path: Path) -> None:
    real = np.asarray(Image.open(draw(tmp_path / "a.png", Subject("x", synthetic=False))).convert("RGB"))
    generated = np.asarray(Image.open(draw(tmp_path / "b.png", Subject("x", synthetic=True))).convert("RGB"))
    assert (real[0] == 255).all()
    assert (generated[0] == generated[0, 0]).all()
    assert tuple(generated[0, 0]) == (0xFB, 0xE3, 0xC8)
    assert len(generated) > len(real)  # the band takes nothing away


def test_a_vector_image_is_written_where_it_is_asked_for_and_is_the_same_each_time(tmp_path: Path) -> None:
    for place in ("first", "second"):
        DRAWINGS["roc"](tmp_path / place / "roc.png", Subject("subject", synthetic=False, with_svg=True))
    first, second = ((tmp_path / place / "roc.svg").read_bytes() for place in ("first", "second"))
    assert first == second
    assert ElementTree.fromstring(first).tag.endswith("svg")
    assert b"<text" not in first  # letters as shapes: it looks the same without our font


def test_nothing_global_is_touched() -> None:
    """In a process of its own: other libraries of a test session may import pyplot."""
    check = "import sys, lesion_core.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def _block(name: str, *inputs: str) -> Block:
    return Block(name, "Dense", ((8,),), 10, inputs)


def test_a_network_is_drawn_with_every_block_once(tmp_path: Path) -> None:
    blocks = (
        _block("image"),
        _block("age_years"),
        _block("backbone", "image"),
        _block("evidence_0", "backbone"),
        _block("spread_1", "backbone"),
        _block("evidence", "evidence_0", "spread_1"),
        _block("metadata_term", "age_years"),
        _block("logits", "evidence", "metadata_term"),
        _block("embedding", "backbone"),
    )
    summary = NetworkSummary("", 100, 90, 50, blocks)
    with Image.open(figures.draw_architecture(summary, tmp_path / "network.png")) as image:
        assert image.format == "PNG"

    layout = lay_out({block.name: block.inputs for block in blocks})
    places = layout.places
    assert set(places) == {block.name for block in blocks}
    for block in blocks:
        assert all(places[source][1] < places[block.name][1] for source in block.inputs)
    in_rows: dict[int, list[float]] = {}
    for x, row in places.values():
        in_rows.setdefault(row, []).append(x)
    for xs in in_rows.values():  # no two boxes overlap
        assert all(b - a >= 1 - 1e-9 for a, b in zip(sorted(xs), sorted(xs)[1:], strict=False))
    assert layout.n_rows == 5
    long = next(line for line in layout.lines if line[0] == places["metadata_term"] and line[-1] == places["logits"])
    assert [row for _, row in long] == list(range(places["metadata_term"][1], places["logits"][1] + 1))


def test_one_block_is_a_network_too(tmp_path: Path) -> None:
    assert lay_out({"image": ()}).width == 0
    figures.draw_architecture(NetworkSummary("", 0, 0, 0, (_block("image"),)), tmp_path / "one.png")
