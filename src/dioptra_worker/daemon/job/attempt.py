"""One attempt at one job, from ``started`` to its final status in the REST API."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.workspace import workspace
from dioptra_worker.daemon.job.claim import Claim, claim
from dioptra_worker.daemon.job.completion import Completion, left
from dioptra_worker.daemon.job.prefetch import Prefetch
from dioptra_worker.daemon.job.preparation import Preparation
from dioptra_worker.daemon.job.runner_events import RunnerEvents
from dioptra_worker.daemon.job.status_watch import watching
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.errors import ServiceUnavailable, WorkerError
from dioptra_worker.protocol.messages import Start
from dioptra_worker.supervision.supervisor import Supervisor
from dioptra_worker.supervision.termination import (
    GracePeriods,
    RunnerReport,
    StopRequest,
)
from dioptra_worker.supervision.verdict import judge

if TYPE_CHECKING:
    from dioptra_worker.broker.job_request import JobRequest
    from dioptra_worker.broker.leases import Leases, PendingStatus
    from dioptra_worker.daemon.job.context import Services

log = logging.getLogger("dioptra_worker.attempt")

CLOSE_RUN_TIMEOUT = 15.0
"""Seconds that a job's end waits for MLflow; its run is closed later if need be."""


class Attempt:
    """Drives one job; `run` in one thread, `stop` from any other."""

    def __init__(self, order: JobRequest, services: Services) -> None:
        self.order = order
        self._services = services
        self._api = services.api
        self._lock = threading.Lock()
        self._stop: StopRequest | None = None
        self._stopped = threading.Event()
        self._supervisor: Supervisor | None = None
        self._ahead: Prefetch | None = None
        self._tidying = contextlib.ExitStack()
        self._delivery: Completion | None = None
        self._journals = Journals(services.settings.work_dir, api=services.api.url)

    def stop(self, stop: StopRequest) -> None:
        """Stop the job, now or as soon as it has a runner.

        The first reason counts, but that the job is not ours any more counts more.
        """
        with self._lock:
            if self._stop is None or stop.kind == "gone":
                self._stop = stop
            self._stopped.set()
            if self._delivery is not None and stop.kind == "shutdown":
                self._delivery.shut_down()
            if self._supervisor is not None:
                self._supervisor.stop(stop)  # to no effect once it has ended

    def claim(self) -> Claim:
        """Make the job ours in the API; see `dioptra_worker.daemon.job.claim`."""
        services = self._services
        ahead = Prefetch(self.order.job_id, api=self._api, launcher=services.launcher)
        try:
            claimed = claim(
                self.order,
                api=self._api,
                leases=_Ends(services.leases, self._journals),
                settings=services.settings,
                close_run=self._close_run,
            )
        except BaseException:
            ahead.close()
            raise
        if claimed.kind != "ours":
            ahead.close()
        self._ahead = self._tidying.enter_context(ahead)
        return claimed

    def run(self, claimed: Claim) -> Outcome:
        """Run the job and deliver everything.

        Args:
            claimed: What `claim` said; the job is ours.

        Returns:
            How it ended. The API knows already, unless the job was given back.
        """
        events = RunnerEvents(self.order, self._services)
        delivery = Completion(
            events,
            self._services,
            self._journals,
            claimed=claimed,
            on_gone=lambda: self.stop(StopRequest("gone", "the job was deleted")),
        )
        with delivery, self._tidying:
            self._adopt_delivery(delivery)
            if claimed.kind == "lost":
                verdict = _told_late(claimed)
            else:
                if claimed.words:
                    events.say("WARNING", claimed.words)
                verdict = self._unless_gone(self._watched(events))
            match verdict.fate:
                case "given back":
                    return delivery.give_back(verdict)
                case "dropped":
                    delivery.drop()
                case _:
                    if not delivery.conclude(verdict):
                        return left(verdict)
        return verdict

    def _unless_gone(self, verdict: Outcome) -> Outcome:
        """What becomes of a job, however it ended: another's status is left alone."""
        with self._lock:
            stop = self._stop
        if stop is None or stop.kind != "gone":
            return verdict
        return replace(verdict, fate="dropped", reason=stop.reason)

    def _adopt_delivery(self, delivery: Completion) -> None:
        with self._lock:
            self._delivery = delivery
            if self._stop is not None and self._stop.kind == "shutdown":
                delivery.shut_down()

    def _watched(self, events: RunnerEvents) -> Outcome:
        """Run the job with an eye on its status in the API."""
        try:
            with watching(self.order.job_id, self._services, stop=self.stop):
                return self._supervised(events)
        except WorkerError as error:
            events.say("ERROR", str(error))
            return Outcome(fate="failed", reason=str(error), mlflow="FAILED")
        except OSError as error:
            reason = f"the worker could not prepare the job: {error}"
            events.say("ERROR", reason)
            return Outcome(fate="failed", reason=reason, mlflow="FAILED")
        except Exception as error:  # a job without an end would be stuck
            log.exception("job %d broke the worker", self.order.job_id)
            reason = f"the worker has a bug: {error!r}"
            return Outcome(fate="failed", reason=reason, mlflow="FAILED")

    def _supervised(self, events: RunnerEvents) -> Outcome:
        settings = self._services.settings
        ahead = self._ahead
        assert ahead is not None
        # The folder is removed after the job's end is told: it may hold many files.
        space = self._tidying.enter_context(
            workspace(settings.work_dir, self.order.job_id)
        )
        with Preparation(
            events,
            self._services,
            ahead=ahead,
            space=space,
            over=self._stopped,
        ) as preparation:
            process, pipes = ahead.runner()
            supervisor = Supervisor(
                self._services.launcher,
                process,
                pipes,
                listener=events,
                grace_periods=GracePeriods(grace=settings.kill_grace),
            )
            events.supervisor = supervisor
            self._adopt(supervisor)
            supervisor.send(
                Start(
                    job_id=self.order.job_id,
                    directory=str(space.root),
                    api_url=self._api.url,
                    log_level=settings.log_level,
                    grace=settings.kill_grace,
                )
            )
            preparation.hand_over_to(supervisor)
            report = supervisor.run()
        return self._settle(report, events)

    def _adopt(self, supervisor: Supervisor) -> None:
        with self._lock:
            self._supervisor = supervisor
            if self._stop is not None:
                supervisor.stop(self._stop)

    def _settle(self, report: RunnerReport, events: RunnerEvents) -> Outcome:
        """Judge, and close an MLflow run that the runner left open."""
        verdict = judge(report)
        events.abandon(verdict.reason)
        self._services.health.job_peak(report.exit.peak)
        closed = report.result is not None and report.result.run_closed
        run_id = events.run_id
        if run_id and not closed and not self._close_run(run_id, verdict.mlflow):
            words = (
                f"MLflow run {run_id} is not closed yet; it will be when MLflow is back"
            )
            events.say("WARNING", words)
        return verdict

    def _close_run(self, run_id: str, status: str) -> bool:
        """Close an MLflow run, or leave that to recovery; whether it is closed."""
        services = self._services
        if services.launcher.close_run(run_id, status, timeout=CLOSE_RUN_TIMEOUT):
            return True
        try:
            services.leases.leave_run(run_id, status)
        except ServiceUnavailable as error:
            log.warning("MLflow run %s stays open: %s", run_id, error)
        return False


@dataclass(frozen=True)
class _Ends:
    """The ends that the API has yet to be told, in Redis and on this machine."""

    leases: Leases
    journals: Journals

    def pending(self, job_id: int) -> PendingStatus | None:
        """How a job ended, if the API was not told."""
        return self.leases.pending(job_id) or self.journals.end_of(job_id)


def _told_late(claimed: Claim) -> Outcome:
    """The end of a job whose worker was lost."""
    finished = claimed.status == "finished"
    return Outcome(
        fate="finished" if finished else "failed",
        reason="" if finished else claimed.words,
        mlflow="FINISHED" if finished else "FAILED",
    )
