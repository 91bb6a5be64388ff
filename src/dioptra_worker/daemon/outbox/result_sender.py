"""What the other queue carries: the MLflow run, metrics and artifacts, one by one."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from dioptra_worker.daemon.outbox.items import Result, describe
from dioptra_worker.daemon.outbox.sender import LATE_ARRIVAL_WINDOW
from dioptra_worker.daemon.outbox.sender_base import SenderBase, login_awaited
from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable
from dioptra_worker.protocol.messages import ArtifactStored, Metric, RunStarted
from dioptra_worker.provenance import signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.daemon.outbox.sender_base import Api, Owner
    from dioptra_worker.protocol.messages import Severity

SILENT_REGISTRATION = 4.5
"""How much longer an artifact's registration may take than we wait for the answer.

While MLflow is away the API tries it for four minutes, and we wait one by default.
"""
SLOW_REGISTRATION = 5.0
"""Seconds of an artifact's registration after which the job's log says what it is."""
NOT_STORED = "is not part of MLFlow run"
"""What the API says, with 500, of an artifact that it does not find in its store."""


class ResultSender(SenderBase):
    """Everything but the log: one by one; a second delivery is harmless.

    What the API does not find may be the job, but also what a result refers to, such
    as an MLflow run that somebody has deleted.
    """

    name = "results"

    def __init__(
        self,
        owner: Owner,
        api: Api,
        job_id: int,
        *,
        group_id: Callable[[], int],
        say: Callable[[Severity, str], None],
        slow: float = SLOW_REGISTRATION,
    ) -> None:
        super().__init__(owner, api, job_id)
        self._group_id = group_id
        self._say = say
        self._slow = slow

    def deliver(self, items: list[Result]) -> None:
        """Deliver, or raise why not."""
        with login_awaited():
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
                with self._told_when_slow(item):
                    self._register(item)

    def _register(self, item: ArtifactStored) -> None:
        self._api.register_artifact(
            group_id=self._group_id() or self._api.job(self._job_id).group_id,
            job_id=self._job_id,
            uri=item.uri,
            plugin_snapshot_id=item.plugin_snapshot_id,
            task_id=item.task_id,
            description=signed(
                f"{item.name}, an artifact of job {self._job_id}", item.worker_run
            ),
        )

    @contextlib.contextmanager
    def _told_when_slow(self, item: ArtifactStored) -> Iterator[None]:
        """Have the job's log say what it waits for: the API asks MLflow itself."""
        words = (
            f"waiting for the REST API to register {describe(item)}: it looks the"
            " artifact up in MLflow, which may be slow or away"
        )
        timer = threading.Timer(self._slow, self._say, ["INFO", words])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def count_delivered(self, items: list[Result]) -> int:
        """How many have arrived: of no matter but for artifacts.

        The API knows an artifact again, but not one that it is just registering.
        """
        match items[0]:
            case ArtifactStored(uri=uri):
                with login_awaited():
                    return int(uri in self._api.artifact_uris(self._job_id))
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

    def is_poison(self, items: list[Result], error: ServiceUnavailable) -> bool:
        """Whether these items are to blame, and not the API."""
        ones_own = isinstance(items[0], Metric) or NOT_STORED in str(error)
        return ones_own and self._fails_here_only(error)

    def on_refusal(self, items: list[Result], words: str) -> None:
        """Have it said what will never be delivered."""
        self._say("ERROR", f"{describe(items[0])} could not be delivered: {words}")
