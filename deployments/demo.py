"""The main job on a local stack: from images to an approved model behind the page, watched as it runs."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments import runs
from deployments.continuing import find_continuation
from deployments.following.screen import choose_screen
from deployments.following.words import finished_line
from deployments.schedules import ISIC_2019_TRAINING
from deployments.stack import local
from lesion_core.errors import ConfigError, LesionError
from lesion_core.evaluation.report import latest_report, read_metrics
from lesion_core.isic.mirror.folder import is_archive_folder, read_folder
from lesion_core.isic.mirror.placement import check_files
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.watch.survey import survey
from lesion_core.recipes.recipe import Recipe, choose_recipe, parse_recipe
from lesion_core.registry.channels import read_channel
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from lesion_core.synthetic.archive import write_archive
from lesion_core.types import Value

REAL_ARCHIVE = "isic"
SYNTHETIC = "synthetic"
PIPELINE = "pipeline/pipeline-local"
# The generator plants one truncated file and one that is missing: both must be reported, neither is fatal.
SYNTHETIC_TOLERANCE = 0.02
# Task -> its stage, which has a line that stays; what is not named here is bookkeeping.
STAGES = {
    "ingest": "ingest",
    "prepare-dataset": "prepare",
    "publish-data-report": "data report",
    "train-model": "train",
    "evaluate-model": "evaluate",
    "decide-gate": "gate",
    "approve-model": "approve",
}
_MOST_ASKED = 20  # 5 % are refused by construction; so many in a row by chance never
console = Console(highlight=False, soft_wrap=True)


class DemoRequest(Value):
    """What ``make demo`` was asked for."""

    home: Path
    archive: str = SYNTHETIC
    limit: int | None = None
    recipe: str = ""
    weights: str = ""
    check: bool = False


def run_demo(request: DemoRequest) -> None:
    """Run the main job and keep its stack up until Ctrl-C; with ``check``, test it once and stop.

    Raises:
        LesionError: A stage failed; the message says which, why and what to do.
    """
    started = time.monotonic()
    recipe = _recipe(request)
    folder = archive_folder(request)
    addresses = local.Addresses.choose()
    url = addresses.mirror if folder else LesionSettings().archive_url
    console.print(f"[bold]lesionflow[/] · {request.archive} images · recipe {recipe.name} · files in {request.home}")
    source = _source(request, url)
    if request.archive == REAL_ARCHIVE:
        console.print(survey(source).in_words())
    scheduled = scheduled_options(request, source, recipe)
    with _started(local.running_stack(request.home, addresses, folder, url, scheduled)) as stack:
        _line("local stack", time.monotonic() - started, f"Prefect UI {addresses.prefect}")
        settings = _settings(stack)
        _say_what_is_there(source, recipe, settings)
        _run_pipeline(addresses, source, recipe)
        _show_results(settings)
        if request.check:
            _check(addresses, settings, request.home)
        console.print(f"\nPrefect UI  {addresses.prefect}\nPage        {addresses.page}\n")
        console.print("From a shell or a script:")
        for name in ("PREFECT_API_URL", "LESION_ARCHIVE_URL", "LESION_STORE"):
            console.print(f"  export {name}={stack.variables[name]}")
        console.print(
            "\nThe weekly retraining and the daily watch over the archive are off. On, with these variables set:"
        )
        console.print("  .venv/bin/lesion schedules --on")
        console.print(f"\nAll of it took {time.monotonic() - started:.0f} s.")
        if not request.check:
            _stay_up(stack)


@contextlib.contextmanager
def _started(running: contextlib.AbstractContextManager[local.Stack]) -> Iterator[local.Stack]:
    """Enter a stack with a moving line on a terminal (nothing in a log): its parts take a while to come up."""
    with contextlib.ExitStack() as parts:
        with console.status("local stack: the Prefect server, the worker and the page come up"):
            stack = parts.enter_context(running)
        yield stack


def _run_pipeline(addresses: local.Addresses, source: ArchiveSource, recipe: Recipe) -> None:
    parameters = {
        "source": source.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json"),
        "approver": "make demo",
        "reason": "Passed the gate; approved by the demonstration, not by a person.",
    }
    try:
        runs.run_and_follow(addresses.prefect, PIPELINE, parameters, screen=choose_screen(console, STAGES))
    except KeyboardInterrupt:
        console.print("Stopping. What is done is kept; the same command goes on from there.")
        raise


def keep_up(home: Path, archive: Path | None) -> None:
    """Keep the local stack up until Ctrl-C, without running anything on it."""
    addresses = local.Addresses.choose()
    url = addresses.mirror if archive else LesionSettings().archive_url
    with local.running_stack(home, addresses, archive, url) as stack:
        console.print(f"Prefect UI  {addresses.prefect}\nPage        {addresses.page}\nArchive     {url}")
        _stay_up(stack)


def scheduled_options(request: DemoRequest, source: ArchiveSource, recipe: Recipe) -> tuple[str, ...]:
    """Return the options that make scheduled runs ask for what this run asks for, at the address set by then."""
    wanted = source.model_copy(update={"url": ""}).model_dump_json(exclude_defaults=True)
    return ("--source", wanted, "--recipe", _choice(request, recipe))


def _choice(request: DemoRequest, recipe: Recipe) -> str:
    """Return the recipe's name, or a file of it where it is none of the named ones as it stands."""
    name = _recipe_name(request)
    if not request.weights and not name.endswith((".yaml", ".yml")):
        return name
    path = request.home / "recipe.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    return str(path)


def _recipe_name(request: DemoRequest) -> str:
    return request.recipe or ("demo-synthetic" if request.archive == SYNTHETIC else "isic-quick")


def _recipe(request: DemoRequest) -> Recipe:
    name = _recipe_name(request)
    recipe = choose_recipe(name, local.PROJECT / "deployments" / "recipes")
    if not request.weights:
        return recipe
    return parse_recipe(
        {**recipe.model_dump(), "weights": request.weights}, source=f"{name} with {request.weights!r}"
    )


def archive_folder(request: DemoRequest) -> Path | None:
    """Return the folder that the mirror will serve (the synthetic one is drawn); ``None`` for the real archive.

    Raises:
        ConfigError: The folder has none of the tables that the mirror reads.
        ManifestError: It has, but the table is broken.
    """
    if request.archive == REAL_ARCHIVE:
        return None
    if request.archive != SYNTHETIC:
        folder = Path(request.archive).resolve()
        if not is_archive_folder(folder):
            raise ConfigError(
                "expected ARCHIVE to be 'isic', a folder as isic-cli leaves it (ISIC_*.jpg and metadata.csv), or a "
                "challenge's set (images, *_GroundTruth.csv and *_Metadata.csv), got "
                f"{request.archive!r}, which has no metadata.csv and no *_GroundTruth.csv"
            )
        check_files(read_folder(folder))  # a broken table is named before anything starts
        return folder
    folder = request.home / "synthetic-archive"
    if not folder.exists():
        began = time.monotonic()
        write_archive(folder)
        _line("draw images", time.monotonic() - began, "synthetic dermoscopy-like images, marked as such")
    return folder


def _source(request: DemoRequest, url: str) -> ArchiveSource:
    return ArchiveSource(
        url=url,
        limit=request.limit,
        collections=(ISIC_2019_TRAINING,) if request.archive == REAL_ARCHIVE else (),
        tolerance=SYNTHETIC_TOLERANCE if request.archive == SYNTHETIC else 0.0,
    )


def _settings(stack: local.Stack) -> LesionSettings:
    variables = stack.variables
    return LesionSettings(store=variables["LESION_STORE"], work=Path(variables["LESION_WORK"]))


def _say_what_is_there(source: ArchiveSource, recipe: Recipe, settings: LesionSettings) -> None:
    """Say what an interrupted or finished run left behind; nothing on a first run."""
    if found := find_continuation(source, recipe, open_store(settings), settings.work):
        console.print(f"  [cyan]↻[/] continues: {escape(found)}, unless the archive has changed")


def _line(stage: str, seconds: float, detail: str = "") -> None:
    console.print(finished_line(stage, seconds, detail))


def _show_results(settings: LesionSettings) -> None:
    store = open_store(settings)
    state, _ = read_channel(store, "approved")
    if state is None:
        raise LesionError("expected an approved model after the pipeline, found none; see the run in the Prefect UI")
    report = latest_report(store, state.model)
    metrics = read_metrics(store, report)
    mark = " (SYNTHETIC images: no clinical meaning)" if state.model.synthetic else ""
    table = Table(title=f"{state.model.id} on {report.n_images} test images{mark}", title_justify="left")
    for column in ("measure", "value", "95 % interval"):
        table.add_column(column)
    for row in metrics.headline_rows():
        table.add_row(*(str(row[name]) for name in ("measure", "value", "interval")))
    console.print(table)


def _check(addresses: local.Addresses, settings: LesionSettings, home: Path) -> None:
    """Start one deployment through the API, ask the page once; raises where either fails."""
    began = time.monotonic()
    runs.run_and_follow(addresses.prefect, "evaluate/evaluate-local", {}, screen=choose_screen(console, {}))
    _line("deployment run", time.monotonic() - began, "evaluate-local, started through the Prefect API")
    began = time.monotonic()
    answer = _ask_about_one(addresses.page, settings)
    leading = answer["classes"][0]
    _line(
        "page asked", time.monotonic() - began, f"{answer['model']}: {leading['class']} {leading['probability']:.2f}"
    )


def _ask_about_one(page: str, settings: LesionSettings) -> dict[str, Any]:
    """Ask about images of the archive until one is answered: a few are refused as out of distribution."""
    store = open_store(settings)
    for key in itertools.islice(store.list("archive/"), _MOST_ASKED):
        answer = ask_page(page, store.read(key))
        if answer["classes"]:
            return answer
    raise LesionError(
        f"expected an answer to one of {_MOST_ASKED} images of the archive, got none: all are flagged as out of "
        "distribution for the model that was made from them; see its ood.json"
    )


def ask_page(page: str, image: bytes) -> dict[str, Any]:
    """Send one image to the page's HTTP API and return its answer."""
    files = {"image": ("image.jpg", image, "image/jpeg")}
    with local.direct_client(timeout_seconds=60) as client:
        response = client.post(f"{page}/v1/predict", files=files, data={"age_years": "55"})
    answer: dict[str, Any] = response.raise_for_status().json()
    return answer


def _stay_up(stack: local.Stack) -> None:
    console.print("Ctrl-C stops everything.")
    try:
        while (ended := stack.ended()) is None:
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Stopping.")
    else:
        raise LesionError(f"{ended} ended by itself; see {stack.home / 'logs' / ended}.log")
