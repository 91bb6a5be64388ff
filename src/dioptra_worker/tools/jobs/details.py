"""All that can be told of one job, besides its log."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.api.models import Job
from dioptra_worker.common.background import Pool
from dioptra_worker.errors import NotFound
from dioptra_worker.provenance import BadValue
from dioptra_worker.settings import DATA_PARAMETERS
from dioptra_worker.tools.jobs.formatting import run_page
from dioptra_worker.tools.jobs.job_row import JobRow
from dioptra_worker.tools.jobs.job_types import read_job_types
from dioptra_worker.tools.jobs.listing import Listed
from dioptra_worker.tools.jobs.reason import read_reason
from dioptra_worker.tools.jobs.worker_run import worker_run_of
from dioptra_worker.tools.resources.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact, ArtifactParameter, MetricPoint
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.broker.parking import Parked
    from dioptra_worker.provenance import WorkerRun


@dataclass(frozen=True, kw_only=True)
class Details:
    """One job.

    Attributes:
        listed: What a list tells of it.
        snapshot_id: The immutable state of its entrypoint.
        timeout: Its time limit, such as ``24h``.
        parameters: Its values, typed.
        inputs: The artifacts that it reads.
        swaps: What was chosen where its task graph leaves a choice.
        metrics: The values of its metrics, by name and step.
        artifacts: What it has stored.
        run_id: Its MLflow run, once there is one.
        run_page: That run's page, where MLflow's address is known.
        receipt: Whether all that it sent has arrived, as its run says; empty if that
            is not known.
        worker_run: What made its results; None where its entrypoint was deleted.
        configuration_id: The id of the worker run's configuration.
        reason: Why it has failed, with the step; empty if it has not.
    """

    listed: Listed
    snapshot_id: int
    timeout: str
    parameters: Mapping[str, Any]
    inputs: tuple[ArtifactParameter, ...]
    swaps: Mapping[str, str]
    metrics: tuple[MetricPoint, ...]
    artifacts: tuple[Artifact, ...]
    run_id: str | None
    run_page: str | None
    worker_run: WorkerRun | None
    configuration_id: str
    reason: str = ""
    receipt: str = ""

    @property
    def job(self) -> JobRow:
        """What a list tells of it, without its times."""
        return self.listed.job


def read_details(
    api: DioptraApi,
    client: UserClient,
    job_id: int,
    *,
    mlflow: str | None,
    data_parameters: Collection[str] = DATA_PARAMETERS,
    receipt_of: Callable[[str], str] = lambda _run_id: "",
) -> Details:
    """Read all that the API knows of a job, but for its log.

    Args:
        api: A session with the API.
        client: The same session, for what people ask of it.
        job_id: The job.
        mlflow: The address of MLflow's pages, if it is known.
        data_parameters: Those that say what to work on, and are no part of a worker
            run.
        receipt_of: Tells the receipt of a run; it may be asked in any thread.

    Raises:
        NotFound: There is no such job.
        ServiceError: The API refused, or cannot be asked.
    """
    body = client.job(job_id)
    with Pool("dioptra-details", max_parallel=7) as pool:
        timeline = pool.submit(client.timeline, job_id)
        parameters = pool.submit(api.parameters, job_id)
        inputs = pool.submit(api.artifact_parameters, job_id)
        metrics = pool.submit(client.metrics, job_id)
        artifacts = pool.submit(client.artifacts, job_id)
        job_types = pool.submit(read_job_types, client)
        job = JobRow.read(body)
        reason = pool.submit(read_reason, client, job)
        run_id = api.mlflow_run(job_id)
        receipt = pool.submit(receipt_of, run_id) if run_id else None
        listed = Listed(
            job=job,
            job_type=job_types.result().of(job),
            timeline=Timeline(tuple(timeline.result())),
        )
        worker_run, configuration = _worker_run(
            api, body, parameters.result(), data_parameters
        )
        return Details(
            listed=listed,
            worker_run=worker_run,
            configuration_id=configuration,
            reason=reason.result(),
            snapshot_id=body["entrypoint"]["snapshotId"],
            timeout=body["timeout"],
            parameters=parameters.result(),
            inputs=tuple(inputs.result()),
            swaps={
                swap["swapName"]: swap["taskAlias"] for swap in body.get("swaps") or ()
            },
            metrics=tuple(metrics.result()),
            artifacts=tuple(artifacts.result()),
            run_id=run_id,
            run_page=run_page(mlflow, run_id) if mlflow and run_id else None,
            receipt=receipt.result() if receipt is not None else "",
        )


def _worker_run(
    api: DioptraApi,
    body: Mapping[str, Any],
    parameters: Mapping[str, Any],
    data: Collection[str],
) -> tuple[WorkerRun | None, str]:
    try:
        return worker_run_of(
            api,
            Job.read(body),
            parameters,
            description=body.get("description") or "",
            data=data,
        )
    except (NotFound, BadValue):  # as its worker, which has not stamped it either
        return None, ""


def dump_listed(
    listed: Listed, now: datetime, parked: Parked | None = None
) -> dict[str, Any]:
    """A job of a list in JSON's types.

    Args:
        listed: The job.
        now: The time.
        parked: Why it is parked, if it is.
    """
    return listed.job.dump() | {
        "type": listed.job_type,
        "age_seconds": listed.age(now),
        "took_seconds": listed.took(now),
        "parked": None if parked is None else parked.dump(now),
    }


def dump_details(
    details: Details, now: datetime, parked: Parked | None = None
) -> dict[str, Any]:
    """All of a job in JSON's types.

    Args:
        details: The job.
        now: The time.
        parked: Why it is parked, if it is.
    """
    return dump_listed(details.listed, now, parked) | {
        "reason": details.reason or None,
        "entrypoint_snapshot_id": details.snapshot_id,
        "timeout": details.timeout,
        "waited_seconds": details.listed.timeline.waited,
        "timeline": [
            {"status": change.status, "at": change.at.isoformat()}
            for change in details.listed.timeline.changes
        ],
        "parameters": dict(details.parameters),
        "swaps": dict(details.swaps),
        "inputs": [asdict(artifact) for artifact in details.inputs],
        "metrics": [_number(asdict(point)) for point in details.metrics],
        "artifacts": [asdict(artifact) for artifact in details.artifacts],
        "mlflow_run": details.run_id,
        "mlflow_page": details.run_page,
        "receipt": details.receipt or None,
        "worker_run": _dump_run(details),
    }


def _dump_run(details: Details) -> dict[str, Any] | None:
    run = details.worker_run
    if run is None:
        return None
    return {
        "id": run.id,
        "personal": run.user is not None,
        "configuration_id": details.configuration_id,
        **run.document(),
    }


def _number(point: dict[str, Any]) -> dict[str, Any]:
    """A metric's value as JSON has it: not a number and infinite are text."""
    value = point["value"]
    finite = math.isfinite(value)
    return point if finite else point | {"value": str(value)}
