"""Jobs and the experiments that they belong to."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from dioptra_worker.sdk.client.collections import GROUPED, PAGE, SORTED
from dioptra_worker.sdk.client.endpoints import endpoint, given
from dioptra_worker.sdk.client.errors import IllegalArgumentError
from dioptra_worker.sdk.client.metrics import Metric, metric_response
from dioptra_worker.sdk.client.nested import Snapshots, Tags
from dioptra_worker.sdk.client.resources import Collection, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dioptra_worker.sdk.client.transport import Transport


class Jobs(Collection):
    """The jobs of all experiments."""

    path = "/jobs"
    get = endpoint("GET", query=GROUPED)
    get_by_id = endpoint("GET {job_id}")
    delete_by_id = endpoint("DELETE {job_id}")
    get_mlflow_run_id = endpoint("GET {job_id}/mlflowRun")
    set_mlflow_run_id = endpoint("POST {job_id}/mlflowRun", body="mlflow_run_id")
    get_parameters = endpoint("GET {job_id}/parameters")
    get_artifact_parameters = endpoint("GET {job_id}/artifactParameters")
    get_status = endpoint("GET {job_id}/status")
    get_config = endpoint("GET {job_id}/config")
    get_metrics_by_id = endpoint("GET {job_id}/metrics")
    get_metrics_snapshots_by_id = endpoint(
        "GET {job_id}/metrics/{metric_name}/snapshots", query=PAGE
    )
    get_logs_by_id = endpoint(
        "GET {job_id}/log", query=f"{PAGE} sort_by? descending? severity?"
    )

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.snapshots = Snapshots(transport, f"{self.path}/{{}}/snapshots")
        self.tags = Tags(transport, f"{self.path}/{{}}/tags")

    def append_metric_by_id(
        self,
        job_id: str | int,
        metric_name: str,
        metric_value: float,
        metric_step: int | None = None,
        timestamp: dt.datetime | str | None = None,
    ) -> Any:
        """Add a metric to a job.

        In a runner, a metric of the running job goes through the daemon's outbox: it is
        delivered also when the API is away just now. One with a timestamp of its own
        goes to the API at once.

        Args:
            job_id: The job, in a plugin ``os.environ["__JOB_ID"]``.
            metric_name: Letters, digits and underscores, not beginning with a digit.
            metric_value: Any float, also NaN and the infinities.
            metric_step: Where in the series; 0 when not given.
            timestamp: When it was measured; by default when the API gets it.

        Returns:
            The name and the value, as the API answers.
        """
        metric = Metric(metric_name, metric_value, metric_step, _iso(timestamp))
        bridge = self.transport.bridge
        if bridge is None or str(job_id) != str(bridge.job_id) or metric.timestamp:
            return self.transport.send(
                "POST", f"{self.path}/{job_id}/metrics", json=metric.body()
            )
        problems = metric.problems()
        if not problems:
            value = float(metric.wire_value())
            bridge.append_metric(metric.name, value, metric.wire_step())
        url = self.transport.where(f"{self.path}/{job_id}/metrics")
        return self.transport.answer(metric_response(url, metric, problems))

    def append_logs_by_id(
        self, job_id: str | int, logs: Iterable[dict[str, Any]]
    ) -> Any:
        """Add lines to a job's log.

        Args:
            job_id: The job.
            logs: Records with severity (DEBUG to CRITICAL), loggerName and message.
        """
        body = {"data": list(logs)}
        return self.transport.send("POST", f"{self.path}/{job_id}/log", json=body)


class ExperimentEntrypoints(Collection):
    """The entrypoints that an experiment may run."""

    path = "/experiments/{experiment_id}/entrypoints"
    get = endpoint("GET")
    create = endpoint("POST", body="entrypoint_ids:ids")
    delete = endpoint("DELETE")
    modify_by_id = endpoint("PUT", body="entrypoint_ids:ids")
    delete_by_id = endpoint("DELETE {entrypoint_id}")


class ExperimentJobs(Collection):
    """The jobs of an experiment."""

    path = "/experiments/{experiment_id}/jobs"
    get = endpoint("GET", query=SORTED)
    get_by_id = endpoint("GET {job_id}")
    delete_by_id = endpoint("DELETE {job_id}")
    create_artifact = endpoint("POST {job_id}/artifacts", body="uri description?")
    get_mlflow_run_id = endpoint("GET {job_id}/mlflowRun")
    set_mlflow_run_id = endpoint("POST {job_id}/mlflowRun", body="mlflow_run_id")
    get_status = endpoint("GET {job_id}/status")
    set_status = endpoint("PUT {job_id}/status", body="status")

    def create(
        self,
        experiment_id: str | int,
        entrypoint_id: int,
        queue_id: int,
        entrypoint_snapshot_id: int | None = None,
        values: dict[str, Any] | None = None,
        artifact_values: dict[str, Any] | None = None,
        timeout: str | None = None,
        description: str | None = None,
        swaps: list[dict[str, str]] | dict[str, str] | None = None,
    ) -> Any:
        """Submit a job.

        Args:
            experiment_id: The experiment.
            entrypoint_id: The entrypoint to run.
            queue_id: The queue on which a worker waits.
            entrypoint_snapshot_id: A past state of the entrypoint.
            values: The values of its parameters, by name.
            artifact_values: Its artifacts, by name: id and snapshotId.
            timeout: How long it may run, such as ``"1h"``.
            description: A sentence for people.
            swaps: The chosen task alias by the name of the swap.
        """
        if isinstance(swaps, dict):
            swaps = [
                {"swap_name": name, "task_alias": alias}
                for name, alias in swaps.items()
            ]
        body = given(
            entrypoint=entrypoint_id,
            queue=queue_id,
            entrypoint_snapshot=entrypoint_snapshot_id,
            values=values,
            artifact_values=artifact_values,
            timeout=timeout,
            description=description,
            swaps=swaps,
        )
        return self.transport.send(
            "POST", f"/experiments/{experiment_id}/jobs", json=body
        )


class Experiments(Resource):
    """The experiments: what belongs together, and its jobs."""

    path = "/experiments"
    draft_fields = frozenset({"name", "description", "entrypoints"})
    get = endpoint("GET", query=f"{GROUPED} show_deleted?")
    get_by_id = endpoint("GET {experiment_id}")
    create = endpoint("POST", body="group_id:group name description? entrypoints?")
    modify_by_id = endpoint("PUT {experiment_id}", body="name description entrypoints")
    delete_by_id = endpoint("DELETE {experiment_id}")
    get_metrics_by_id = endpoint("GET {experiment_id}/metrics", query=SORTED)

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.entrypoints = ExperimentEntrypoints(transport)
        self.jobs = ExperimentJobs(transport)


def _iso(timestamp: dt.datetime | str | None) -> str | None:
    if isinstance(timestamp, dt.datetime):
        return timestamp.isoformat()
    if timestamp is not None:
        try:
            dt.datetime.fromisoformat(timestamp)
        except (TypeError, ValueError) as error:
            raise IllegalArgumentError(
                f"the timestamp {timestamp!r} is neither a datetime nor in ISO 8601, "
                "such as '2025-01-31T12:00:00+00:00'"
            ) from error
    return timestamp
