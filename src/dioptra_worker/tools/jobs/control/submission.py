"""Has jobs run: by the names of things, or once more as before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dioptra_worker.tools.jobs.control.validation import check_arguments
from dioptra_worker.tools.jobs.errors import NotNow
from dioptra_worker.tools.resources.errors import Unknown
from dioptra_worker.tools.resources.submitting import (
    known,
    submit,
    swaps_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.resources.submitting import Submission


def submit_checked(client: UserClient, wanted: Submission) -> int:
    """Submit a job, unless what it is given does not fit its entrypoint.

    Args:
        client: The API.
        wanted: What to run.

    Returns:
        The job's id.

    Raises:
        Unknown: There is no such entrypoint, queue, parameter or swap, or a choice is
            missing.
        ServiceError: The API refused, or cannot be asked.
    """
    entrypoint = client.entrypoint(entrypoint_id(client, str(wanted.entrypoint)))
    check_arguments(
        client,
        entrypoint,
        values=wanted.values,
        artifacts=wanted.artifacts,
        swaps=wanted.swaps,
    )
    queue = wanted.queue or _only_queue(entrypoint)
    return submit(client, replace(wanted, entrypoint=entrypoint["id"], queue=queue))


def rerun(
    client: UserClient,
    job_id: int,
    *,
    latest: bool = False,
    queue: str | None = None,
) -> int:
    """Submit a job once more: a new job with the same snapshot, values and inputs.

    Args:
        client: The API.
        job_id: The job.
        latest: Take the entrypoint as it is now.
        queue: Another queue's name.

    Returns:
        The new job's id.

    Raises:
        Unknown: There is no such queue; or the entrypoint, as it is now, does not take
            what the job was given.
        NotNow: The job's queue has been deleted.
        ServiceError: The API refused, or cannot be asked.
    """
    body = client.job(job_id)
    entrypoint = body["entrypoint"]
    if queue is not None:
        queue_id = known(client, "queues", queue)
        client.add_queue(entrypoint["id"], queue_id)
    else:
        if not body.get("queue") or body["queue"].get("deleted"):
            raise NotNow(f"the queue of job {job_id} was deleted: name another one")
        queue_id = body["queue"]["id"]
    artifacts = body.get("artifactValues") or {}
    swaps = {s["swapName"]: s["taskAlias"] for s in body.get("swaps") or ()}
    given: dict[str, Any] = {
        "queue": queue_id,
        "entrypoint": entrypoint["id"],
        "values": body["values"],
        "artifactValues": {
            name: {"id": value["id"], "snapshotId": value["snapshotId"]}
            for name, value in artifacts.items()
        },
        "description": body.get("description") or "",
        "timeout": body["timeout"],
    }
    if latest:
        try:
            check_arguments(
                client,
                client.entrypoint(entrypoint["id"]),
                values=body["values"],
                artifacts=artifacts,
                swaps=swaps,
            )
        except Unknown as error:
            raise Unknown(
                f"entrypoint {entrypoint['name']!r} has changed since job {job_id}:"
                f" {error} (`jobs submit` gives a job other values)"
            ) from error
    else:
        given["entrypointSnapshot"] = entrypoint["snapshotId"]
    return client.create_job(body["experiment"]["id"], given | swaps_of(swaps))


def entrypoint_id(client: UserClient, name: str) -> int:
    """The id of an entrypoint by its name; or it is the id.

    Raises:
        Unknown: There is none of that name.
    """
    if name.isdigit() and client.find("entrypoints", name) is None:
        return int(name)
    return known(client, "entrypoints", name)


def _only_queue(entrypoint: Mapping[str, Any]) -> str:
    names = [queue["name"] for queue in entrypoint.get("queues") or ()]
    if len(names) == 1:
        return str(names[0])
    has = f"one of {', '.join(map(repr, names))}" if names else "any"
    raise Unknown(f"entrypoint {entrypoint['name']!r} needs a queue: name {has}")
