"""Has jobs run: by the names of things, or once more as before."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dioptra_worker.tools.jobs.control.validation import check_arguments, check_values
from dioptra_worker.tools.jobs.errors import NotNow
from dioptra_worker.tools.resources.errors import Unknown
from dioptra_worker.tools.resources.names import id_of, instead, known
from dioptra_worker.tools.resources.parameters import NotOfType, nested
from dioptra_worker.tools.resources.submitting import submit, swaps_of

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
    entrypoint = client.entrypoint(id_of(client, "entrypoints", str(wanted.entrypoint)))
    wanted = replace(wanted, values=_whole(entrypoint, wanted.values))
    check_arguments(
        client,
        entrypoint,
        values=wanted.values,
        artifacts={
            name: given if isinstance(given, int) else given.id
            for name, given in wanted.artifacts.items()
        },
        swaps=wanted.swaps,
    )
    queue = wanted.queue or _only_queue(client, entrypoint)
    return submit(client, replace(wanted, entrypoint=entrypoint["id"], queue=queue))


def _whole(
    entrypoint: Mapping[str, Any],
    given: Mapping[str, Any],
    had: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Values as the API takes them: whole mappings, as text.

    Args:
        entrypoint: What declares them.
        given: The values, some of them perhaps for an entry of a mapping.
        had: Those of a job that is run again: its mappings get the entries.
    """
    if not any("." in name for name in given):
        return dict(given)
    declared = entrypoint["parameters"]
    defaults = {one["name"]: one.get("defaultValue") for one in declared}
    try:
        found = nested(given, defaults | dict(had or {}))
    except NotOfType as error:
        raise Unknown(f"parameter {error}") from None
    return {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in found.items()
    }


def rerun(
    client: UserClient,
    job_id: int,
    *,
    latest: bool = False,
    queue: str | None = None,
    values: Mapping[str, str] | None = None,
    description: str | None = None,
) -> int:
    """Submit a job once more: a new job with the same snapshot, values and inputs.

    Args:
        client: The API.
        job_id: The job.
        latest: Take the entrypoint as it is now.
        queue: Another queue's name.
        values: Other values for some of its parameters, as texts; of ``a.b``, for the
            entry ``b`` of the mapping ``a``.
        description: Another sentence for people.

    Returns:
        The new job's id.

    Raises:
        Unknown: There is no such queue or parameter, or a value is of another type; or
            the entrypoint, as it is now, does not take what the job was given.
        NotNow: The job's queue has been deleted.
        ServiceError: The API refused, or cannot be asked.
    """
    body = client.job(job_id)
    if description is None:
        description = body.get("description") or ""
    entrypoint = body["entrypoint"]
    now = client.entrypoint(entrypoint["id"]) if latest else None
    chosen = body["values"]
    if values:
        declared = now or _as_it_was(client, entrypoint)
        chosen = chosen | _whole(declared, values, chosen)
        if now is None:
            check_values(client, declared, chosen)
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
        "values": chosen,
        "artifactValues": {
            name: {"id": value["id"], "snapshotId": value["snapshotId"]}
            for name, value in artifacts.items()
        },
        "description": description,
        "timeout": body["timeout"],
    }
    if now is not None:
        try:
            check_arguments(
                client,
                now,
                values=chosen,
                artifacts={name: value["id"] for name, value in artifacts.items()},
                swaps=swaps,
            )
        except Unknown as error:
            raise Unknown(
                f"entrypoint {entrypoint['name']!r} has changed since job {job_id}:"
                f" {error} (-P gives it other values, `jobs submit` other artifacts and"
                " choices, too)"
            ) from error
    else:
        given["entrypointSnapshot"] = entrypoint["snapshotId"]
    return client.create_job(body["experiment"]["id"], given | swaps_of(swaps))


def _as_it_was(client: UserClient, entrypoint: Mapping[str, Any]) -> dict[str, Any]:
    """A job's entrypoint with what it declared when the job was submitted."""
    snapshot = entrypoint["snapshotId"]
    declared = client.entrypoint_snapshot(entrypoint["id"], snapshot)
    return {**entrypoint, "snapshot": snapshot, **declared}


def _only_queue(client: UserClient, entrypoint: Mapping[str, Any]) -> str:
    names = [queue["name"] for queue in entrypoint.get("queues") or ()]
    if len(names) == 1:
        return str(names[0])
    names = names or client.names("queues")
    if not names:
        raise Unknown(
            f"entrypoint {entrypoint['name']!r} needs a queue, and the API has none:"
            " register one in Dioptra"
        )
    others = f"; there is {instead('', names)}" if len(names) > 1 else ""
    raise Unknown(
        f"entrypoint {entrypoint['name']!r} needs a queue: say which, such as"
        f" --queue {shlex.quote(names[0])}{others}"
    )
