"""A step's progress as an artifact of Prefect.

One artifact for each run of a task, updated in place: its number is the share of the present stage, its description
says the stage in words, and its metadata hold the counts, for whoever follows the run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from lesion_core.progress import ProgressCallback
from lesion_core.updates import Update, reported


@contextmanager
def progress(key: str, what: str) -> Iterator[ProgressCallback]:
    """Show a step's progress as one artifact while the block runs.

    A server that does not answer costs updates, not the work.

    Args:
        key: Of the artifact.
        what: The step's subject, such as the name of a recipe.
    """
    with reported(what, _sender(key, what)) as on_progress:
        yield on_progress


def _sender(key: str, what: str) -> Callable[[Update], None]:
    made: list[UUID] = []

    def send(update: Update) -> None:
        if not made:
            # Called outside an event loop this returns the id itself; the annotation also names the other case.
            made.append(cast(UUID, create_progress_artifact(progress=0.0, key=key, description=f"{what}: starting")))
        _update(made[0], what, update)

    return send


def _update(artifact: UUID, what: str, update: Update) -> None:
    news = update.news
    counts = {"done": str(news.done), **({} if news.total is None else {"total": str(news.total)})}
    content = ArtifactUpdate(
        data=update.share,
        description=update.description,
        metadata_={"what": what, "stage": news.stage, "message": news.message, **counts},
    )
    get_client(sync_client=True).update_artifact(artifact_id=artifact, artifact=content)
