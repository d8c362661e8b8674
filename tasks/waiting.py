"""Whom a task waits for: the runs that hold the slots of a limit."""

from collections.abc import Iterator
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import ReceivedEvent
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

_ACQUIRED, _RELEASED = "prefect.concurrency-limit.acquired", "prefect.concurrency-limit.released"
_LOOKED_AT = 50  # the most that the server gives at once


def held_by(limit_name: str) -> str:
    """Return who holds the slots of a limit, as 'train-model isic-cpu (fluffy-cat)'; nobody where one is free.

    The server's interface does not tell them; its events do, some seconds late. A run that was killed in its slot has
    left no event of its release, so only as many are named as there are slots taken, newest first.

    Raises:
        prefect.exceptions.ObjectNotFound: There is no such limit.
    """
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name(limit_name)
        if limit.active_slots < limit.limit or not limit.active:
            return ""
        names = list(_open_acquisitions(client, limit.id))[: limit.active_slots]
    return ", ".join(names) or "another run"


def _open_acquisitions(client: SyncPrefectClient, limit: UUID) -> Iterator[str]:
    wanted = EventFilter(
        event=EventNameFilter(name=[_ACQUIRED, _RELEASED]),
        resource=EventResourceFilter(id=[f"prefect.concurrency-limit.{limit}"]),
    )
    newest_first = client.read_events(wanted, limit=_LOOKED_AT).events
    released = {event.follows for event in newest_first if event.event == _RELEASED}
    return (_holder(event) for event in newest_first if event.event == _ACQUIRED and event.id not in released)


def _holder(event: ReceivedEvent) -> str:
    names = {each.get("prefect.resource.role"): each.get("prefect.resource.name") for each in event.related}
    task, flow = names.get("task-run"), names.get("flow-run")
    return f"{task} ({flow})" if task and flow else task or flow or "another run"
