"""``lesion challenge``: a report's predictions as a submission to ISIC 2019, and what a submission scores."""

import math
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesion_core.errors import ArtifactNotFound, ConfigError
from lesion_core.paths import expanded
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_existing_store
from lesion_core.stores.protocol import Store

if TYPE_CHECKING:
    from rich.table import Table

    from lesion_core.evaluation.challenge.score import ChallengeScores
    from lesion_core.statistics.challenge_score import ChallengeScore

challenge = typer.Typer(help="Submissions to the ISIC 2019 challenge, and their score.", no_args_is_help=True)
_WIDTH = 100  # of tables that go into a file or a pipe
_HEADINGS = {
    "auc": "AUC",
    "auc_sens_80": "AUC above sens. 0.80",
    "ap": "avg. prec.",
    "sensitivity": "sens.",
    "specificity": "spec.",
    "ppv": "PPV",
    "npv": "NPV",
    "dice": "Dice",
    "accuracy": "acc.",
}


class Split(StrEnum):
    """Which of a model's reports is meant."""

    TEST = "test"
    CALIBRATION = "calibration"
    VALIDATION = "validation"


@challenge.command()
def export(
    report_or_model: Annotated[
        str, typer.Argument(help="Id of a report, or of a model, whose newest report is taken")
    ],
    out: Annotated[Path, typer.Option(help="Where to write the submission: .csv", parser=expanded)],
    split: Annotated[Split, typer.Option(help="Of a model, which split's report")] = Split.TEST,
    unknown: Annotated[
        Path | None,
        typer.Option(
            help="Table with the columns image and UNK: how probable it is that an image is none of the classes, "
            "such as 1 for one that is flagged as out of distribution; without it UNK is 0",
            parser=expanded,
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="Ground truth whose names of the images are taken, some of which end in _downsampled",
            parser=expanded,
        ),
    ] = None,
) -> None:
    """Write a report's predictions as a submission, without predicting anything again."""
    from lesion_core.evaluation.challenge.files import read_ground_truth, read_unknown, write_submission
    from lesion_core.evaluation.challenge.score import submission_table
    from lesion_core.evaluation.report import read_predictions

    if out.suffix.lower() != ".csv":
        raise ConfigError(f"expected a submission ending in .csv, got {out}; choose another name")
    store = open_existing_store(LesionSettings())
    report = _find_report(store, report_or_model, split)
    table = submission_table(
        read_predictions(store, report),
        unknown=read_unknown(unknown) if unknown else None,
        names=read_ground_truth(like).names if like else None,
    )
    write_submission(table, out)
    typer.echo(f"Wrote {len(table):,} images of the {report.split} split of {report.dataset.id} to {out}.")
    if not table["UNK"].any():
        typer.echo("UNK is 0 in every row: in nine classes such a submission reaches 8/9 at most.")
    if report.model.synthetic or report.dataset.synthetic:
        typer.echo("SYNTHETIC: the model or the images are generated; the submission has no clinical meaning.")


@challenge.command()
def score(
    submission: Annotated[
        Path, typer.Argument(help="Probabilities by image: image, MEL … SCC, UNK", parser=expanded)
    ],
    ground_truth: Annotated[
        Path, typer.Argument(help="Official table, such as ISIC_2019_Training_GroundTruth.csv", parser=expanded)
    ],
    subset: Annotated[
        bool, typer.Option("--subset", help="Leave images out that the submission does not name")
    ] = False,
) -> None:
    """Print what a submission scores, in eight and in nine classes."""
    from rich.console import Console

    from lesion_core.evaluation.challenge.files import read_ground_truth, read_submission
    from lesion_core.evaluation.challenge.score import score_submission

    scores = score_submission(read_submission(submission), read_ground_truth(ground_truth), subset=subset)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(_summary(scores))
    console.print(_by_class("Eight classes, one against the rest", scores.eight))
    if scores.nine:
        console.print(_by_class("Nine classes, one against the rest", scores.nine))
    for note in _notes(scores):
        typer.echo(note)


def _find_report(store: Store, name: str, split: Split) -> ReportRef:
    from lesion_core.evaluation.report import latest_report
    from lesion_core.isic.mirror.tables import some
    from lesion_core.stores.references import find_reference, list_references

    if (model := find_reference(store, ModelRef, f"models/{name}")) is not None:
        return latest_report(store, model, split=split.value)
    if (report := find_reference(store, ReportRef, f"reports/{name}")) is not None:
        return report
    known = [one.id for one in list_references(store, ModelRef, "models/")]
    known += [one.id for one in list_references(store, ReportRef, "reports/")]
    raise ArtifactNotFound(
        f"expected the id of a model or a report, one of {some(known) or 'none, since nothing is stored yet'}, got "
        f"{name!r}; `lesion models` lists the models",
        key=name,
    )


def _summary(scores: "ChallengeScores") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title="ISIC 2019 score", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "balanced accuracy", "images", "undecided", "classes without an image"):
        table.add_column(heading, justify="left" if heading in ("", "classes without an image") else "right")
    for name, one in (("eight classes, without UNK", scores.eight), ("nine classes, the challenge's", scores.nine)):
        if one is not None:
            counts = (f"{one.n_images:,}", f"{one.n_undecided:,}")
            table.add_row(name, _words(one.balanced_accuracy), *counts, ", ".join(one.absent) or "none")
    return table


def _by_class(title: str, score: "ChallengeScore") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("class")
    for heading in ("n", *_HEADINGS.values()):
        table.add_column(heading, justify="right")
    for one in score.categories:
        cells = (_words(getattr(one, name)) + "*" * (name in one.set_to_one) for name in _HEADINGS)
        table.add_row(one.category, f"{one.n_images:,}", *cells)
    table.add_section()
    table.add_row("mean", "", *(_words(score.mean(name)) for name in _HEADINGS))
    return table


def _notes(scores: "ChallengeScores") -> Iterator[str]:
    yield "By class: n images; from sens. on, a class is called where its probability is above 0.5."
    used = [one for one in (scores.eight, scores.nine) if one is not None]
    if any(one.set_to_one for each in used for one in each.categories):
        yield "*: nothing is called so; the organisers' program counts it as 1."
    if scores.n_unscored:
        yield f"{scores.n_unscored:,} images of the ground truth have no prediction: no score of the challenge."
    if scores.nine is None:
        yield "The ground truth has no column UNK: there is no score in nine classes."
    elif "UNK" in scores.nine.absent:
        yield "The ground truth has no image of UNK, so that both scores are a mean over the other classes alone."
    elif not scores.answers_unknown:
        n = len(scores.nine.categories) - len(scores.nine.absent)
        yield f"UNK is 0 in every row: in nine classes such a submission reaches {n - 1}/{n} at most."
    yield "The scores in eight and in nine classes are of different questions and must not be compared."


def _words(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
