"""What the other queue carries: the MLflow run, metrics and artifacts, one by one."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from dioptra_worker.common.text.humanize import duration
from dioptra_worker.daemon.outbox.items import Result, describe
from dioptra_worker.daemon.outbox.sender import (
    LATE_ARRIVAL_WINDOW,
    ApiSender,
    may_be_alone,
    refused_login_is_unavailable,
)
from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable
from dioptra_worker.protocol.messages import ArtifactStored, Metric, RunStarted
from dioptra_worker.provenance import signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.daemon.outbox.job_log import JobLog
    from dioptra_worker.daemon.outbox.sender import Api

SILENT_REGISTRATION = 4.5
"""How much longer an artifact's registration may take than we wait for the answer.

While MLflow is away the API tries it for four minutes, and we wait one by default.
"""
SLOW_REGISTRATION = 5.0
"""Seconds of an artifact's registration after which the job's log says what it is."""
NOT_STORED = "is not part of MLFlow run"
"""What the API says, with 500, of an artifact that it does not find in its store."""


class ResultSender(ApiSender):
    """Everything but the log: one by one; a second delivery is harmless.

    What the API does not find may be the job, but also what a result refers to, such
    as an MLflow run that somebody has deleted.
    """

    def __init__(
        self,
        api: Api,
        job_id: int,
        job_log: JobLog,
        *,
        slow: float = SLOW_REGISTRATION,
    ) -> None:
        """Prepare.

        Args:
            api: Where to deliver.
            job_id: The job.
            job_log: Is told what waits, and what is lost.
            slow: Seconds of a registration after which the log says what it is.
        """
        super().__init__(api, job_id)
        self._log = job_log
        self._slow = slow

    def on_wait(self, error: ServiceUnavailable) -> None:
        """It waits for the API."""
        self._log.say("WARNING", f"waiting to deliver results: {error}")

    def on_back(self, seconds: float) -> None:
        """It need not wait any more."""
        words = f"results are delivered again after {duration(seconds)}"
        self._log.say("INFO", words)

    def on_loss(self, count: int) -> None:
        """Some could not be read back."""
        self._log.note_loss("results could not be read back from the disk", count)

    def deliver(self, items: list[Result]) -> None:
        """Deliver, or raise why not."""
        with refused_login_is_unavailable():
            try:
                self._deliver(items[0])
            except NotFound as error:
                self._api.job(self._job_id)  # `NotFound` if it is the job that is gone
                raise ServiceRefused(
                    str(error),
                    service=error.service,
                    status=error.status,
                    detail=error.detail,
                ) from error
        self._failures = 0

    def _deliver(self, item: Result) -> None:
        match item:
            case Metric(name=name, value=value, step=step):
                self._api.post_metric(self._job_id, name, value, step)
            case RunStarted(run_id=run_id):
                self._api.set_mlflow_run(self._job_id, run_id)
            case ArtifactStored():
                with self._reporting_slowness(item):
                    self._register(item)

    def _register(self, item: ArtifactStored) -> None:
        self._api.register_artifact(
            group_id=item.group_id or self._api.job(self._job_id).group_id,
            job_id=self._job_id,
            uri=item.uri,
            plugin_snapshot_id=item.plugin_snapshot_id,
            task_id=item.task_id,
            description=signed(
                f"{item.name}, an artifact of job {self._job_id}", item.worker_run
            ),
        )

    @contextlib.contextmanager
    def _reporting_slowness(self, item: ArtifactStored) -> Iterator[None]:
        """Have the job's log say what it waits for: the API asks MLflow itself."""
        words = (
            f"waiting for the REST API to register {describe(item)}: it looks the"
            " artifact up in MLflow, which may be slow or away"
        )
        timer = threading.Timer(self._slow, self._log.say, ["INFO", words])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def count_delivered(self, items: list[Result]) -> int:
        """How many have arrived, by the API's own record; metrics are of no matter.

        What it has is not sent again, which might fail by now, as where MLflow is away.
        And it knows an artifact again, but not one that it is just registering.
        """
        with refused_login_is_unavailable():
            match items[0]:
                case ArtifactStored(uri=uri):
                    return int(uri in self._api.artifact_uris(self._job_id))
                case RunStarted(run_id=run_id):
                    return int(self._api.mlflow_run(self._job_id) == run_id)
        return 0  # delivering again does no harm

    def weight(self, item: Result) -> int:
        """What an item weighs."""
        del item
        return 1

    def late_window(self, items: list[Result], error: ServiceUnavailable) -> float:
        """Seconds in which what failed may still arrive."""
        if not isinstance(items[0], ArtifactStored) or error.status is not None:
            return 0.0
        return max(LATE_ARRIVAL_WINDOW, error.silence * SILENT_REGISTRATION)

    def may_be_poison(self, items: list[Result], error: ServiceUnavailable) -> bool:
        """Whether these items may be to blame."""
        ones_own = isinstance(items[0], Metric) or NOT_STORED in str(error)
        return ones_own and may_be_alone(error)

    def is_poison(self, items: list[Result], error: ServiceUnavailable) -> bool:
        """Whether these items are to blame, and not the API."""
        return self.may_be_poison(items, error) and self._fails_here_only(error)

    def on_refusal(self, items: list[Result], words: str) -> None:
        """Have it said what will never be delivered."""
        self._log.say("ERROR", f"{describe(items[0])} could not be delivered: {words}")
