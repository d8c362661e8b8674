"""``lesion``: the commands of a person at a shell. Heavy imports happen inside the commands."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from deployments.challenge import challenge
from deployments.stack.environment import leave_out_inherited
from deployments.stack.occupancy import hold
from lesion_core.certificates import set_unusable_aside
from lesion_core.errors import LesionError
from lesion_core.fields.table import FIELDS
from lesion_core.paths import absolute_path, expanded
from lesion_core.settings import LesionSettings, keep_loopback_direct
from lesion_core.stores.open import open_existing_store, open_store

app = typer.Typer(
    help="Skin-lesion classification from the ISIC archive to an approved, explained model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(challenge, name="challenge")
# A shell leaves the tilde of --home=~/x and of `make demo ARCHIVE=~/x` to us.
Home = Annotated[Path, typer.Option(help="Folder for the store, Prefect's database and the logs", parser=expanded)]
_HOME = Path(".lesion")


@contextlib.contextmanager
def _stack_in(home: Path) -> Iterator[Path]:
    """Hold a folder for one local stack, and leave aside what the shell says to Prefect, before that is imported."""
    if names := leave_out_inherited():
        typer.echo(f"Ignored, since the local stack has its own Prefect server: {', '.join(names)}", err=True)
    home = home.resolve()
    with hold(home):
        yield home


@app.command()
def demo(
    archive: Annotated[
        str, typer.Option(help="'synthetic', a folder as isic-cli leaves it, or 'isic'")
    ] = "synthetic",
    limit: Annotated[int | None, typer.Option(min=8, help="About this many images, in whole lesions")] = None,
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a YAML file; empty chooses by archive")] = "",
    weights: Annotated[str, typer.Option(help="'imagenet', 'none' or a path; empty leaves the recipe's")] = "",
    check: Annotated[bool, typer.Option("--check", help="Run, test once through both APIs, stop")] = False,
    home: Annotated[
        Path | None, typer.Option(help="Folder for everything; synthetic images get their own", parser=expanded)
    ] = None,
) -> None:
    """Run the main job on a local stack: images → dataset → model → report → gate → page."""
    # A model of generated images may never replace one of photographs, so the two do not share a store.
    home = home or (_HOME / "synthetic" if archive == "synthetic" else _HOME)
    with _stack_in(home) as held:
        from deployments.demo import DemoRequest, run_demo

        folder = str(expanded(archive))
        run_demo(DemoRequest(home=held, archive=folder, limit=limit, recipe=recipe, weights=weights, check=check))


@app.command()
def up(
    archive: Annotated[str, typer.Option(help="Folder to mirror; empty asks the archive that is set")] = "",
    home: Home = _HOME,
) -> None:
    """Run the local stack until Ctrl-C: Prefect server, worker, deployments, page."""
    with _stack_in(home) as held:
        from deployments.demo import keep_up

        keep_up(held, absolute_path(archive).resolve() if archive else None)


@app.command()
def deploy(
    trainings: Annotated[int, typer.Option(min=1, help="Trainings that may run at once on this server")] = 1,
    source: Annotated[
        str,
        typer.Option(help="What scheduled runs ask for, as in the forms, in JSON; empty: the archive that is set"),
    ] = "",
    recipe: Annotated[
        str, typer.Option(help="What scheduled runs train: a recipe's name, or a YAML file")
    ] = "isic-quick",
    paused: Annotated[bool, typer.Option("--paused", help="Leave schedules off that the server has not yet")] = False,
) -> None:
    """Create the work pool, the limits and every deployment on the server that PREFECT_API_URL names."""
    from deployments.provision import provision
    from deployments.schedules import scheduled_work

    provision(scheduled_work(LesionSettings(), source, recipe, active=not paused), trainings)


@app.command()
def schedules(
    on: Annotated[
        bool | None, typer.Option("--on/--off", help="Switch all of them; without it, only list them")
    ] = None,
) -> None:
    """List what runs by itself on the server of PREFECT_API_URL, and when next; or switch it on or off."""
    from deployments.schedules import read_schedules, switch

    for state in read_schedules() if on is None else switch(on):
        typer.echo(state.in_words())


@app.command()
def models() -> None:
    """List model versions, and what each channel points at."""
    from lesion_core.isic.withdrawals import withdrawn_ids
    from lesion_core.lineage.exposure import find_exposure
    from lesion_core.registry.channels import read_channel
    from lesion_core.registry.versions import list_models

    store = open_existing_store(LesionSettings())
    withdrawn = withdrawn_ids(store)
    states = {channel: read_channel(store, channel)[0] for channel in ("approved", "candidate")}
    known = list_models(store)
    if not known:
        typer.echo(f"No models in {store.url} yet; `make demo` or the flow 'train' makes one.")
    for model in known:
        marks = [channel for channel, state in states.items() if state and state.model.id == model.id]
        typer.echo(f"{model.id}  on {model.dataset.id}{'  SYNTHETIC' if model.synthetic else ''}  {' '.join(marks)}")
        if warning := find_exposure(store, model, withdrawn).in_words():
            typer.echo(f"  WITHDRAWN: {warning}; `lesion card {model.id}` names them")


@app.command()
def card(
    model: Annotated[str, typer.Argument(help="Model id, such as isic-quick/0f3a9c1d22b4")],
    form: Annotated[
        Literal["markdown", "html", "json", "chai"],
        typer.Option(help="chai: XML for registries of the Coalition for Health AI"),
    ] = "markdown",
) -> None:
    """Print a model's card from its newest report, with the decisions on it and the images withdrawn since."""
    from lesion_core.evaluation.card import current_card
    from lesion_core.evaluation.report import latest_report
    from lesion_core.registry.change_history import changes_of
    from lesion_core.registry.versions import get_model

    store = open_existing_store(LesionSettings())
    report = latest_report(store, get_model(store, model))
    typer.echo(current_card(store, report, changes_of(store, report.model), form=form))


@app.command("external-reports")
def list_external_reports(
    model: Annotated[str, typer.Argument(help="Model id, such as isic-quick/0f3a9c1d22b4")],
) -> None:
    """List what a model reached on external test sets, oldest first, and what of them was left out."""
    from lesion_core.evaluation.report import external_reports, read_metrics
    from lesion_core.registry.versions import get_model

    store = open_existing_store(LesionSettings())
    found = external_reports(store, get_model(store, model))
    if not found:
        typer.echo(f"No external test of {model} yet, in {store.url}; the flow 'external-test' makes one.")
    for report in found:
        metrics = read_metrics(store, report)
        n_left_out = sum(metrics.subject.external.left_out.values()) if metrics.subject.external else 0
        typer.echo(
            f"{report.external}  balanced accuracy {metrics.balanced_accuracy.in_words()}  {report.n_images:,} "
            f"images, {n_left_out:,} left out  {report.id}"
        )


@app.command("looks", hidden=True)  # its former name
@app.command("test-access")
def access_log(
    dataset: Annotated[str, typer.Argument(help="Name of a dataset, such as isic; empty lists all")] = "",
) -> None:
    """List which model was measured on which test split, and when."""
    from lesion_core.evaluation.test_access import read_accesses

    store = open_existing_store(LesionSettings())
    found = list(read_accesses(store, dataset))
    if not found:
        typer.echo(f"No model was measured on a test split{f' of {dataset}' if dataset else ''} yet, in {store.url}.")
    for entry in found:
        again = f"  again: {entry.reason}" if entry.reason else ""
        typer.echo(f"{entry.at}  {entry.test} of {entry.dataset_id}  {entry.model_id}{again}")


@app.command()
def weights(
    file: Annotated[
        Path, typer.Argument(help="Pretrained weights of a backbone: .h5, .keras or .pth", parser=expanded)
    ],
) -> None:
    """Put a file of weights into the store, and print what a recipe names it by on any worker."""
    from lesion_core.training.pretrained import store_weights

    typer.echo(store_weights(open_store(LesionSettings()), file))


@app.command()
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it, only say what would go")] = False,
    retention_days: Annotated[int, typer.Option(min=1, help="What is younger stays")] = 30,
) -> None:
    """Say, or delete, what no channel leads to any more, and the bytes of withdrawn images."""
    from deployments.cleaning import clean

    clean(open_existing_store(LesionSettings()), retention_days=retention_days, delete=delete, say=typer.echo)


@app.command()
def mirror(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Images with metadata.csv as isic-cli leaves them, or a challenge's set", parser=expanded
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8011,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
) -> None:
    """Serve a folder of images by the archive's own API."""
    from lesion_core.isic.mirror.server import serve_mirror

    serve_mirror(folder, host=host, port=port)


@app.command()
def predict(
    folder: Annotated[
        Path, typer.Argument(help="Folder of images; every file in it gets a row, or is counted", parser=expanded)
    ],
    output: Annotated[Path, typer.Option(help="Where to write: .parquet or .csv", parser=expanded)] = Path(
        "predictions.csv"
    ),
    metadata: Annotated[
        Path | None,
        typer.Option(
            help=f"Table with a column image and any of {', '.join(field.name for field in FIELDS)}, or their names "
            "in the archive",
            parser=expanded,
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Model id; empty takes the approved one")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", help="Go into the folders in it, too")] = False,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Column of the table to pass over; may be given again")
    ] = None,
) -> None:
    """Score a folder of images through the path that serves the page."""
    from rich.console import Console

    from deployments.scoring.progress import ScoringProgress
    from deployments.scoring.run import score

    settings = LesionSettings()
    open_existing_store(settings)
    with ScoringProgress(Console(stderr=True)) as progress:
        summary = score(
            settings,
            folder,
            output,
            metadata=metadata,
            model_id=model,
            recursive=recursive,
            ignored=ignore or (),
            on_progress=progress,
        )
    typer.echo("\n".join(summary.lines()))


def main() -> None:
    """Run the command line; a known error ends in its message, not in a traceback."""
    _speak_utf8()
    keep_loopback_direct()
    set_unusable_aside()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ gets a question mark, and the run goes on
    try:
        app()
    except LesionError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(1)


def _speak_utf8() -> None:
    """Start anew in Python's UTF-8 mode where the locale has another encoding, and have child processes do so.

    In it, names of files with umlauts come as what they are, and can be written into tables, links and JSON.
    """
    if not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        os.putenv("PYTHONUTF8", "1")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
