"""Submitting a job by names, and waiting for its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.tools.resources.errors import StillRunning, Unknown
from dioptra_worker.tools.resources.importing import PUBLIC_GROUP
from dioptra_worker.tools.resources.names import known
from dioptra_worker.tools.resources.timeline import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact
    from dioptra_worker.api.user_client import UserClient

_POLL_INTERVAL = 0.25
_LONGEST_PAUSE = 60.0
"""Seconds that are waited for an API that is away, whatever it asks for."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What to run, where, and on what.

    Attributes:
        entrypoint: The entrypoint's name or id.
        experiment: The experiment's name; it is created if there is none.
        queue: The queue's name; None, where that is allowed, is the entrypoint's only
            one.
        values: Values for the entrypoint's parameters; the others have defaults.
        artifacts: Artifacts, or their ids, for its artifact parameters.
        swaps: Which task to take where its task graph leaves a choice.
        timeout: How long the job may run, such as ``10m``.
        description: A sentence for people.
        group: The group of an experiment that is created.
    """

    entrypoint: str | int
    experiment: str
    queue: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Artifact | int] = field(default_factory=dict)
    swaps: Mapping[str, str] = field(default_factory=dict)
    timeout: str = "24h"
    description: str = ""
    group: int = PUBLIC_GROUP


def submit(client: UserClient, wanted: Submission) -> int:
    """Submit a job.

    Args:
        client: The API.
        wanted: What to run.

    Returns:
        The job's id.

    Raises:
        Unknown: There is no such entrypoint or queue.
        ServiceError: The API refused, or cannot be asked.
    """
    if wanted.queue is None:
        raise Unknown(f"entrypoint {wanted.entrypoint!r} needs a queue: name one")
    entrypoint = wanted.entrypoint
    if isinstance(entrypoint, str):
        entrypoint = known(client, "entrypoints", entrypoint)
    queue = known(client, "queues", wanted.queue)
    artifacts = {
        name: client.artifact(given) if isinstance(given, int) else given
        for name, given in wanted.artifacts.items()
    }
    experiment = client.find("experiments", wanted.experiment)
    if experiment is None:
        experiment = client.create_experiment(wanted.experiment, group=wanted.group)
    client.add_entrypoint(experiment, entrypoint)
    client.add_queue(entrypoint, queue)
    return client.create_job(
        experiment,
        {
            "entrypoint": entrypoint,
            "queue": queue,
            # The API keeps values as text and converts them by the parameter's type.
            "values": {name: _text(value) for name, value in wanted.values.items()},
            "artifactValues": {
                name: {"id": artifact.id, "snapshotId": artifact.snapshot_id}
                for name, artifact in artifacts.items()
            },
            "timeout": wanted.timeout,
            "description": wanted.description,
            **swaps_of(wanted.swaps),
        },
    )


def swaps_of(swaps: Mapping[str, str]) -> dict[str, Any]:
    """Swaps as the API takes them; before 1.2 it takes none, not even no swaps."""
    if not swaps:
        return {}
    chosen = [{"swap_name": k, "task_alias": v} for k, v in swaps.items()]
    return {"swaps": chosen}


def wait(
    api: DioptraApi,
    job_id: int,
    *,
    seconds: float,
    on_status: Callable[[str], None] = lambda _status: None,
    on_look: Callable[[str], object] = lambda _status: None,
    on_wait: Callable[[ServiceUnavailable], object] = lambda _error: None,
    sleep: Callable[[float], object] = time.sleep,
) -> str:
    """Wait for a job's end; an API that is away for a moment is asked again.

    Args:
        api: A session with the API.
        job_id: The job.
        seconds: How long in all.
        on_status: Told each status that the job is seen to have, once.
        on_look: Told the status at each look that finds the job not ended.
        on_wait: Told once for each time that the API is away.
        sleep: Waits between two looks; may raise to give up.

    Returns:
        ``finished`` or ``failed``.

    Raises:
        StillRunning: It did not end in time.
        ServiceError: The API refused, or was away until the time was up.
    """
    deadline = time.monotonic() + seconds
    last = None
    is_away = False
    while True:
        late = time.monotonic() >= deadline
        try:
            status = api.job(job_id).status
        except ServiceUnavailable as error:
            if late:
                raise
            if not is_away:
                is_away = True
                on_wait(error)
            left = deadline - time.monotonic()
            wanted = min(error.retry_after or 0.0, _LONGEST_PAUSE, left)
            sleep(max(_POLL_INTERVAL, wanted))
            continue
        is_away = False
        if status != last:
            on_status(status)
            last = status
        if status in ENDED:
            return status
        on_look(status)
        if late:
            raise StillRunning(
                f"job {job_id} is still {status} after {seconds:g} s: is a worker"
                " listening on its queue?",
                status=status,
            )
        sleep(_POLL_INTERVAL)


def _text(value: Any) -> Any:
    """Write a value as the API takes it: numbers and truth values as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
