"""Has jobs run: by the names of things, or once more as before."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dioptra_worker.jobs.errors import NotNow
from dioptra_worker.resources.errors import Unknown
from dioptra_worker.resources.submitting import (
    Submission,
    known,
    submit,
    swaps_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dioptra_worker.api.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to run.

    Attributes:
        entrypoint: The entrypoint's name or id.
        queue: The queue's name; None is the entrypoint's only one.
        experiment: The experiment's name; it is created if there is none.
        values: Values for parameters, as text.
        artifacts: The ids of artifacts for artifact parameters.
        swaps: Which task to take where the task graph leaves a choice.
        timeout: How long the job may run, such as ``10m``.
        description: A sentence for people.
    """

    entrypoint: str
    experiment: str
    queue: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, int] = field(default_factory=dict)
    swaps: Mapping[str, str] = field(default_factory=dict)
    timeout: str = "24h"
    description: str = ""


def order(resources: Resources, wish: Wish) -> int:
    """Submit a job.

    Args:
        resources: The API.
        wish: What to run.

    Returns:
        The job's id.

    Raises:
        Unknown: There is no such entrypoint, queue, parameter or artifact.
        ServiceError: The API refused, or cannot be asked.
    """
    entrypoint = resources.entrypoint(entrypoint_id(resources, wish.entrypoint))
    name = entrypoint["name"]
    _check(f"entrypoint {name!r}", "parameter", wish.values, entrypoint["parameters"])
    _check(
        f"entrypoint {name!r}",
        "artifact parameter",
        wish.artifacts,
        entrypoint.get("artifactParameters") or [],
    )
    return submit(
        resources,
        Submission(
            entrypoint=entrypoint["id"],
            queue=wish.queue or _only_queue(entrypoint),
            experiment=wish.experiment,
            values=wish.values,
            artifacts={
                key: resources.artifact(id_) for key, id_ in wish.artifacts.items()
            },
            swaps=wish.swaps,
            timeout=wish.timeout,
            description=wish.description,
        ),
    )


def order_again(
    resources: Resources,
    job_id: int,
    *,
    latest: bool = False,
    queue: str | None = None,
) -> int:
    """Submit a job once more: a new job with the same snapshot, values and inputs.

    Args:
        resources: The API.
        job_id: The job.
        latest: Take the entrypoint as it is now.
        queue: Another queue's name.

    Returns:
        The new job's id.

    Raises:
        Unknown: There is no such queue.
        NotNow: The job's queue has been deleted.
        ServiceError: The API refused, or cannot be asked.
    """
    body = resources.job(job_id)
    entrypoint = body["entrypoint"]
    if queue is not None:
        queue_id = known(resources, "queues", queue)
        resources.add_queue(entrypoint["id"], queue_id)
    else:
        if not body.get("queue") or body["queue"].get("deleted"):
            raise NotNow(f"the queue of job {job_id} was deleted: name another one")
        queue_id = body["queue"]["id"]
    given: dict[str, Any] = {
        "queue": queue_id,
        "entrypoint": entrypoint["id"],
        "values": body["values"],
        "artifactValues": {
            name: {"id": value["id"], "snapshotId": value["snapshotId"]}
            for name, value in (body.get("artifactValues") or {}).items()
        },
        "description": body.get("description") or "",
        "timeout": body["timeout"],
    }
    if not latest:
        given["entrypointSnapshot"] = entrypoint["snapshotId"]
    swaps = {s["swapName"]: s["taskAlias"] for s in body.get("swaps") or ()}
    return resources.create_job(body["experiment"]["id"], given | swaps_of(swaps))


def entrypoint_id(resources: Resources, name: str) -> int:
    """The id of an entrypoint by its name; or it is the id.

    Raises:
        Unknown: There is none of that name.
    """
    if name.isdigit() and resources.find("entrypoints", name) is None:
        return int(name)
    return known(resources, "entrypoints", name)


def _check(
    whose: str, what: str, given: Iterable[str], there: Iterable[Mapping[str, Any]]
) -> None:
    names = [entry["name"] for entry in there]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3) or names
            has = f"it has {', '.join(map(repr, near))}" if near else "it has none"
            raise Unknown(f"{whose} has no {what} {name!r}: {has}")


def _only_queue(entrypoint: Mapping[str, Any]) -> str:
    names = [queue["name"] for queue in entrypoint.get("queues") or ()]
    if len(names) == 1:
        return str(names[0])
    has = f"one of {', '.join(map(repr, names))}" if names else "any"
    raise Unknown(f"entrypoint {entrypoint['name']!r} needs a queue: name {has}")
