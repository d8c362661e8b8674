"""``lesion``: the commands of a person at a shell. Heavy imports happen inside the commands."""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lesion_core.errors import LesionError
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store

app = typer.Typer(
    help="Skin-lesion classification from the ISIC archive to an approved, explained model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Home = Annotated[Path, typer.Option(help="Folder for the store, Prefect's database and the logs")]
_HOME = Path(".lesion")


@app.command()
def demo(
    archive: Annotated[
        str, typer.Option(help="'synthetic', a folder as isic-cli leaves it, or 'isic'")
    ] = "synthetic",
    limit: Annotated[int | None, typer.Option(min=8, help="About this many images, in whole lesions")] = None,
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a YAML file; empty chooses by archive")] = "",
    weights: Annotated[str, typer.Option(help="'imagenet', 'none' or a path; empty leaves the recipe's")] = "",
    check: Annotated[bool, typer.Option("--check", help="Run, test once through both APIs, stop")] = False,
    home: Annotated[Path | None, typer.Option(help="Folder for everything; synthetic images get their own")] = None,
) -> None:
    """Run the main job on a local stack: images → dataset → model → report → gate → page."""
    from deployments.demo import SYNTHETIC, DemoRequest, run_demo

    # A model of generated images may never replace one of photographs, so the two do not share a store.
    home = home or (_HOME / "synthetic" if archive == SYNTHETIC else _HOME)
    run_demo(
        DemoRequest(home=home.resolve(), archive=archive, limit=limit, recipe=recipe, weights=weights, check=check)
    )


@app.command()
def up(
    archive: Annotated[str, typer.Option(help="Folder to mirror; empty asks the archive that is set")] = "",
    home: Home = _HOME,
) -> None:
    """Run the local stack until Ctrl-C: Prefect server, worker, deployments, page."""
    from deployments.demo import keep_up

    keep_up(home.resolve(), Path(archive).resolve() if archive else None)


@app.command()
def deploy(
    trainings: Annotated[int, typer.Option(min=1, help="Trainings that may run at once on this server")] = 1,
) -> None:
    """Create the work pool, the limits and every deployment on the server that PREFECT_API_URL names."""
    from deployments.provision import provision

    provision(trainings)


@app.command()
def models() -> None:
    """List model versions, and what each channel points at."""
    from lesion_core.evaluation.exposure import find_exposure
    from lesion_core.isic.withdrawals import withdrawn_ids
    from lesion_core.registry.channels import read_channel
    from lesion_core.registry.versions import list_models

    store = open_store(LesionSettings())
    withdrawn = withdrawn_ids(store)
    states = {channel: read_channel(store, channel)[0] for channel in ("approved", "candidate")}
    for model in list_models(store):
        marks = [channel for channel, state in states.items() if state and state.model.id == model.id]
        typer.echo(f"{model.id}  on {model.dataset.id}{'  SYNTHETIC' if model.synthetic else ''}  {' '.join(marks)}")
        if warning := find_exposure(store, model, withdrawn).in_words():
            typer.echo(f"  WITHDRAWN: {warning}; `lesion card {model.id}` names them")


@app.command()
def card(model: Annotated[str, typer.Argument(help="Model id, such as isic-quick/0f3a9c1d22b4")]) -> None:
    """Print a model's card from its newest report, with the images withdrawn since."""
    from lesion_core.evaluation.card import current_card
    from lesion_core.evaluation.report import latest_report
    from lesion_core.registry.versions import get_model

    store = open_store(LesionSettings())
    typer.echo(current_card(store, latest_report(store, get_model(store, model))))


@app.command()
def looks(
    dataset: Annotated[str, typer.Argument(help="Name of a dataset, such as isic; empty lists all")] = "",
) -> None:
    """List which model was measured on which test split, and when."""
    from lesion_core.evaluation.looks import read_looks

    for look in read_looks(open_store(LesionSettings()), dataset):
        again = f"  again: {look.reason}" if look.reason else ""
        typer.echo(f"{look.at}  {look.test} of {look.dataset_id}  {look.model_id}{again}")


@app.command()
def weights(
    file: Annotated[Path, typer.Argument(help="Pretrained weights of a backbone: .h5, .keras or .pth")],
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

    clean(open_store(LesionSettings()), retention_days=retention_days, delete=delete, say=typer.echo)


@app.command()
def mirror(
    folder: Annotated[
        Path, typer.Argument(help="Images with metadata.csv as isic-cli leaves them, or a challenge's set")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8011,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
) -> None:
    """Serve a folder of images by the archive's own API."""
    from lesion_core.isic.mirror import serve_mirror

    serve_mirror(folder, host=host, port=port)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="Folder of images")],
    output: Annotated[Path, typer.Option(help="Where to write: .parquet or .csv")] = Path("predictions.csv"),
    metadata: Annotated[
        Path | None, typer.Option(help="CSV with the columns image, age_years, sex, site (any may be missing)")
    ] = None,
    model: Annotated[str, typer.Option(help="Model id; empty takes the approved one")] = "",
) -> None:
    """Score a folder of images through the path that serves the page."""
    from deployments.scoring import score

    n_scored, n_refused = score(LesionSettings(), folder, output, metadata=metadata, model_id=model)
    typer.echo(f"{n_scored} images scored, {n_refused} refused (see the column 'refused'): {output}")


def main() -> None:
    """Run the command line; a known error ends in its message, not in a traceback."""
    _speak_utf8()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal without ✓ or → gets a question mark, and the run goes on
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
