"""Personal worker runs: an identity that signs what a person publishes by hand.

It is a job that never ran: on a queue of the person's own that no worker watches, at
once started and finished, with an MLflow run. Artifacts, metrics and log records can
be added to a finished job, so it can sign for as long as it exists. The id has the
person's name in it, so that nobody else's is the same.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from dioptra_worker import __version__
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.errors import ServiceRefused
from dioptra_worker.provenance import (
    Circumstances,
    signed,
    tags,
    typed_defaults,
)
from dioptra_worker.provenance.run_tags import JOB_ID, KIND
from dioptra_worker.settings import DATA_PARAMETERS
from dioptra_worker.tools.jobs.worker_run import PERSONAL
from dioptra_worker.tools.lineage.errors import LineageError, NotYours, StillInUse
from dioptra_worker.tools.lineage.store import upload

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.tools.lineage.runs import FoundRun, Runs

_UNFIT = re.compile(r"[^A-Za-z0-9_. -]+")
TIMEOUT = "24h"
DEFAULT_EXPERIMENT = "0"
"""MLflow's, where the runs of jobs are, too."""


class PersonalRuns:
    """The personal worker runs of whoever is logged in."""

    def __init__(self, api: DioptraApi, runs: Runs) -> None:
        """Prepare.

        Args:
            api: A session with the REST API, as that person.
            runs: The worker runs that MLflow knows.
        """
        self._api = api
        self._client = UserClient(api)
        self._runs = runs

    def create(
        self,
        *,
        experiment_id: int,
        entrypoint_id: int,
        snapshot_id: int | None = None,
        values: Mapping[str, str] | None = None,
        inputs: Mapping[str, int] | None = None,
        data: Collection[str] = DATA_PARAMETERS,
        on_enqueued: Callable[[str, int], None] = lambda _queue, _job: None,
    ) -> FoundRun:
        """Open a personal worker run.

        Args:
            experiment_id: The process.
            entrypoint_id: The worker.
            snapshot_id: Its version; by default the present one.
            values: Values of its parameters, as text.
            inputs: Artifacts for its artifact parameters.
            data: The parameters that say what to work on.
            on_enqueued: Told the queue and the job, whose entry nobody will take.

        Returns:
            The worker run.

        Raises:
            StillInUse: There is a personal worker run of that version already.
            ServiceError: The API or MLflow refused, or does not answer.
        """
        user = self._client.whoami()
        entrypoint = self._client.entrypoint(entrypoint_id)
        snapshot = snapshot_id or entrypoint["snapshot"]
        self._refuse_second(entrypoint_id, snapshot, user)
        queue_name = f"local-{_UNFIT.sub('-', user)}"
        queue = self._queue(queue_name, group=entrypoint["group"]["id"])
        self._client.add_entrypoint(experiment_id, entrypoint_id)
        self._client.add_queue(entrypoint_id, queue)
        job_id = self._client.create_job(
            experiment_id,
            {
                "queue": queue,
                "entrypoint": entrypoint_id,
                "entrypointSnapshot": snapshot,
                "values": dict(values or {}),
                "artifactValues": self._inputs(inputs or {}),
                "description": f"{PERSONAL} {user}",
                "timeout": TIMEOUT,
            },
        )
        for status in ("started", "finished"):
            self._api.set_status(experiment_id, job_id, status)
        on_enqueued(queue_name, job_id)
        return self._open(job_id, user, data)

    def mine(self, name: str) -> FoundRun:
        """A personal worker run of whoever is logged in.

        The REST API lets any user add results to any job; that this is refused here
        keeps people from signing with another's name by mistake.

        Args:
            name: Its id, or how it begins.

        Raises:
            NoSuchRun: There is none.
            NotYours: It belongs to somebody else.
        """
        found = self._runs.find(name)
        owner = found.latest.tags.get("dioptra.user", "")
        me = self._client.whoami()
        if not found.is_personal:
            raise NotYours(
                f"worker run {found.id} is that of jobs on a queue, which sign their"
                " results themselves: create a personal one to publish by hand"
            )
        if owner != me:
            raise NotYours(
                f"worker run {found.id} is personal and belongs to {owner!r}; you are"
                f" {me!r}: create one of your own"
            )
        return found

    def publish(
        self,
        found: FoundRun,
        path: Path,
        *,
        name: str | None = None,
        plugin_snapshot_id: int | None = None,
        task_id: int | None = None,
    ) -> int:
        """Publish a file or folder under a personal worker run.

        Args:
            found: What `mine` gave.
            path: The file or folder.
            name: What to call it; by default its own name.
            plugin_snapshot_id: The plugin snapshot with the class that reads it.
            task_id: That class's id; with neither, jobs cannot read it.

        Returns:
            The artifact's id.

        Raises:
            LineageError: There is nothing at *path*.
            ServiceError: The API, MLflow or the store refused.
        """
        if not path.exists():
            raise LineageError(f"{str(path)!r} does not exist")
        execution = found.latest
        label = name or path.name
        kept = upload(execution.artifact_uri, path, label)
        body: dict[str, Any] = {
            "group": self._api.job(execution.job_id).group_id,
            "job": execution.job_id,
            "artifactUri": kept,
            "description": signed(f"{label}, published by hand", found.id),
        }
        if plugin_snapshot_id is not None and task_id is not None:
            body |= {"pluginSnapshotId": plugin_snapshot_id, "taskId": task_id}
        try:
            return self._client.create("artifacts/", body)
        except ServiceRefused as error:
            existing = _existing(error)
            if existing is None:
                raise
            return existing

    def metric(self, found: FoundRun, name: str, value: float, step: int = 0) -> None:
        """Add a metric to a personal worker run's job."""
        body = {"name": name, "value": value, "step": step}
        self._api.request("POST", f"jobs/{found.latest.job_id}/metrics", json=body)

    def _open(self, job_id: int, user: str, data: Collection[str]) -> FoundRun:
        """Create and stamp the MLflow run of the job that stands for it."""
        job = self._api.job(job_id)
        defaults = typed_defaults(self._api.declared_parameters(job))
        parameters = self._api.parameters(job_id)
        run = job.worker_run(parameters, defaults, data=data, user=user)
        circumstances = Circumstances(
            user=user, queue=job.queue, worker_version=__version__
        )
        marks = {
            JOB_ID: str(job_id),
            KIND: "user",
            **tags(run, circumstances, defaults=defaults),
        }
        created = self._runs.mlflow.create_run(
            DEFAULT_EXPERIMENT,
            name=f"{job.entrypoint_name} by {user}",
            tags=marks,
            now=int(time.time() * 1000),
        )
        self._api.set_mlflow_run(job_id, created["info"]["run_id"])
        return self._runs.find(run.id)

    def _refuse_second(self, entrypoint_id: int, snapshot: int, user: str) -> None:
        for found in self._runs.all(
            workerRunKind="user",
            entrypointId=str(entrypoint_id),
            entrypointSnapshotId=str(snapshot),
            user=user,
        ):
            raise StillInUse(
                f"version {snapshot} of entrypoint {entrypoint_id} has your worker run"
                f" {found.id} already: use that, or make a new version first"
            )

    def _queue(self, name: str, *, group: int) -> int:
        found = self._client.find("queues", name)
        if found is not None:
            return found
        described = {
            "group": group,
            "name": name,
            "description": "Signs what a person publishes; no worker watches it.",
        }
        return self._client.create("queues/", described)

    def _inputs(self, inputs: Mapping[str, int]) -> dict[str, dict[str, int]]:
        return {
            name: {
                "id": id_,
                "snapshotId": self._client.artifact(id_).snapshot_id,
            }
            for name, id_ in inputs.items()
        }


def _existing(error: ServiceRefused) -> int | None:
    """The artifact that the API has already under that address."""
    detail = error.detail if isinstance(error.detail, dict) else {}
    inner = detail.get("detail")
    found = inner.get("existing_id") if isinstance(inner, dict) else None
    return int(found) if found is not None else None
