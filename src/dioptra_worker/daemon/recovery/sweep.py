"""Finds jobs that nobody runs and nobody waits for, and puts them back into a queue.

What becomes of such a job is decided where every job begins (`daemon.job.claim`): it is
run again, or failed with the reason, or its undelivered end is delivered.
"""

from __future__ import annotations

import logging
import random
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from dioptra_worker.api import shapes
from dioptra_worker.api.models import moment, resource_id
from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.errors import NotFound, ServiceError
from dioptra_worker.protocol.job_number import job_number

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Container,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.broker.leases import Leases
    from dioptra_worker.broker.rq.registries import Queue, Registries
    from dioptra_worker.daemon.health.state import HealthState
    from dioptra_worker.daemon.recovery.orphaned_outboxes import OrphanedOutboxes

log = logging.getLogger("dioptra_worker.recovery")

_LOST_JOB: shapes.Shape = {
    "id": resource_id,
    "experiment": {"id": resource_id},
    "queue?": {"name?": str},
    "timeout": str,
    "lastModifiedOn": moment,
}
"""What is read of a job to find out whether it is lost, and to enqueue it."""
SWEEP_INTERVAL = 15.0
"""Seconds between two looks at RQ's books, at most."""
MAX_LOOKED_FOR = 50
"""MLflow runs that nobody knows of which are looked for in one sweep."""
HEARTBEATS = 1.2
"""How many heartbeats long a job must be without a lease to count as nobody's."""
STARTED_FACTOR = 3.0
"""How much longer than a queued job a started one must be unknown to count as lost."""


class Recovery:
    """Sweeps the queues of one worker; of many workers one sweeps at a time."""

    def __init__(
        self,
        *,
        api: DioptraApi,
        leases: Leases,
        registries: Registries,
        queues: Sequence[Queue],
        lost_after: float,
        close_run: Callable[[str, str], bool],
        close_begun: Callable[[str, str], bool],
        orphaned_outboxes: OrphanedOutboxes | None = None,
        interval: float = SWEEP_INTERVAL,
        heartbeat: float = 0.0,
        health: HealthState | None = None,
    ) -> None:
        """Prepare; nothing is looked at yet.

        Args:
            api: Knows the jobs.
            leases: Knows who holds them.
            registries: RQ's books.
            queues: Where to look.
            lost_after: Seconds after which a queued job that RQ does not know counts
                as lost; also between two looks at the API's jobs.
            close_run: Closes an MLflow run with a status; whether that worked.
            close_begun: The same for what a start with a token has begun.
            orphaned_outboxes: What lost workers of this machine left undelivered.
            interval: Seconds between two looks at RQ's books, at most.
            heartbeat: Seconds in which a worker that lives renews its lease.
            health: Is told which jobs are parked.
        """
        self._api = api
        self._leases = leases
        self._registries = registries
        self._queues = list(queues)
        self._lost_after = lost_after
        self._close_run = close_run
        self._close_begun = close_begun
        self._orphaned_outboxes = orphaned_outboxes
        self._interval = min(interval, lost_after)
        self._heartbeat = heartbeat
        self._health = health
        self._done = threading.Event()
        self._looked_at: dict[str, int] = {}

    def run(self) -> None:
        """Sweep again and again until told to `end`."""
        while True:
            try:
                self.sweep()
            except ServiceError as error:
                log.debug("no sweep now: %s", error)
            except Exception:
                log.exception("a sweep broke")
            if self._done.wait(self._interval):
                return

    def end(self) -> None:
        """Tell it to end, from any thread; a sweep that is under way may go on."""
        self._done.set()

    def sweep(self) -> None:
        """Look for lost jobs once; what fails for one queue keeps from no other.

        Raises:
            ServiceError: If Redis or the API is away, or refuses something.
        """
        _run_each(
            [
                *(partial(self._sweep_rq_in_turn, queue) for queue in self._queues),
                self._sweep_api_in_turn,
                self._sweep_runs_in_turn,
                self._sweep_outboxes,
                self._tell_parked,
            ]
        )

    def _sweep_rq_in_turn(self, queue: Queue) -> None:
        if self._leases.try_become_sweeper(f"rq:{queue.name}", self._interval * 0.8):
            self._sweep_rq(queue)

    def _sweep_api_in_turn(self) -> None:
        chosen = [
            queue
            for queue in self._queues
            if self._leases.try_become_sweeper(f"api:{queue.name}", self._lost_after)
        ]
        if chosen:
            self._sweep_api(chosen)

    def _sweep_runs_in_turn(self) -> None:
        if self._leases.try_become_sweeper("runs", self._interval * 0.8):
            # Both stop at the first that MLflow does not take: it may be away.
            _run_each([self._sweep_runs, self._sweep_unknown_runs])

    def _sweep_outboxes(self) -> None:
        if self._orphaned_outboxes is not None:  # nobody else can look there
            self._orphaned_outboxes.sweep()

    def _tell_parked(self) -> None:
        if self._health is not None:
            ours = {queue.name for queue in self._queues}
            parked = self._registries.parking.all()
            self._health.parked([job for job in parked if job.queue in ours])

    def _sweep_runs(self) -> None:
        """Close the MLflow runs that are to be, in any order, until one is not.

        MLflow is perhaps away: to ask for each would keep us from lost jobs for long.
        """
        runs = list(self._leases.runs.known().items())
        random.shuffle(runs)
        for run_id, status in runs:
            if not self._close_run(run_id, status):
                return
            log.info("MLflow run %s is closed now: %s", run_id, status)
            self._leases.runs.forget_known(run_id)

    def _sweep_unknown_runs(self) -> None:
        """Close the MLflow runs that were begun without anybody being told, likewise.

        A job is stopped, or its worker lost, at any moment: also while MLflow makes its
        run, whose id is then in an answer that nobody reads.
        """
        runs = list(self._leases.runs.begun().items())
        random.shuffle(runs)
        left = MAX_LOOKED_FOR
        for token, run in runs:
            if self._leases.is_under_way(run.job_id, token):
                continue
            # Read anew: it was perhaps settled just now, or its end decided. Who takes
            # the job over waits for us from now on.
            closing = self._leases.runs.begin_closing(token, run.job_id)
            if closing is None:
                continue
            is_looked_for = False
            try:
                is_looked_for = self._close_begun(token, closing.run.status)
            finally:
                self._leases.runs.end_closing(closing, is_looked_for=is_looked_for)
            left -= 1
            if left == 0 or not is_looked_for:
                return

    def _sweep_rq(self, queue: Queue) -> None:
        running = self._registries.started(queue)
        dead = {name for name in running if self._state(name) == "dead"}
        unheld = self._unheld(running) - dead
        if unheld and self._outlasts_heartbeat():
            dead |= unheld & self._unheld(self._registries.started(queue))
        for name in sorted(dead):
            self._requeue(name, queue, "its worker is gone")
        for name in self._registries.intermediate(queue):
            if self._state(name) == "held":
                continue
            job_id = job_number(name)
            parked = None if job_id is None else self._registries.parking.look(job_id)
            if parked is None:
                self._requeue(name, queue, "it was taken and never begun")
            elif parked.left <= 0:
                self._requeue(name, queue, "it has waited, and is tried again")

    def _unheld(self, running: Mapping[str, bool]) -> set[str]:
        """Which of these jobs nobody holds whose worker seems not to live."""
        return {
            name
            for name, worker_lives in running.items()
            if not worker_lives and self._state(name) == "free"
        }

    def _sweep_api(self, queues: Sequence[Queue]) -> None:
        by_name: dict[str, Queue] = {}
        known: dict[str, Container[str]] = {}

        def look_into(queue: Queue) -> None:
            known[queue.name] = self._registries.waiting(queue)
            by_name[queue.name] = queue

        started_age = self._lost_after * STARTED_FACTOR
        sweep = partial(self._sweep_status, by_name=by_name, known=known)
        _run_each(
            [
                *(partial(look_into, queue) for queue in queues),
                partial(sweep, "queued", self._lost_after),
                partial(sweep, "started", started_age),
            ]
        )

    def _sweep_status(
        self,
        status: str,
        age: float,
        *,
        by_name: Mapping[str, Queue],
        known: Mapping[str, Container[str]],
    ) -> None:
        suspects = {
            str(job["id"]): (job, queue)
            for job in self._some_jobs(status, by_name, known)
            if (queue := by_name.get(_queue_of(job))) is not None
            and str(job["id"]) not in known[queue.name]
            and self._age(job) >= age
        }
        if status == "started" and suspects and not self._outlasts_heartbeat():
            return
        _run_each(
            [
                partial(self._enqueue_if_lost, job, status, queue)
                for job, queue in suspects.values()
            ],
            answers=self._see_who_answers,
        )

    def _see_who_answers(self) -> None:
        """See whether what all jobs need is there.

        Raises:
            ServiceError: It is not.
        """
        self._api.ping()
        self._leases.state(0)

    def _enqueue_if_lost(self, job: dict[str, Any], status: str, queue: Queue) -> None:
        name = str(job["id"])
        if not self._done.is_set() and self._is_lost(name, status, queue):
            words = "job %s is %s and in no queue: it is enqueued again"
            log.warning(words, name, status)
            self._registries.enqueue(_request(job), queue, job["timeout"])

    def _some_jobs(
        self, status: str, queues: Container[str], known: Mapping[str, Container[str]]
    ) -> Iterator[dict[str, Any]]:
        """Jobs with a status: the oldest, and others in turn.

        To list all of them takes the API too long where many wait. One that is lost
        becomes the oldest, as others are run. Where Redis has forgotten many, one page
        of them follows the other.
        """

        def is_lost(job: dict[str, Any]) -> bool:
            queue = _queue_of(job)
            return queue in queues and str(job["id"]) not in known[queue]

        index, total = 0, 1
        seen: set[Any] = set()
        while index < total and not self._done.is_set():
            listed, total = self._api.jobs_with_status(status, index=index)
            page = list(filter(_is_readable, listed))
            yield from page
            index += max(1, len(listed))
            fresh = {job["id"] for job in page} - seen
            seen |= fresh
            if not fresh or not any(map(is_lost, page)):
                break
        if index < total:
            last = self._looked_at.get(status, 0)
            index = last if index < last < total else index
            listed, _ = self._api.jobs_with_status(status, index=index)
            yield from filter(_is_readable, listed)
            self._looked_at[status] = index + len(listed)

    def _outlasts_heartbeat(self) -> bool:
        """Wait until a worker that lives would have renewed its lease.

        Redis may have forgotten it just now. False when we are to end meanwhile.
        """
        return not self._done.wait(self._heartbeat * HEARTBEATS)

    def _is_lost(self, name: str, status: str, queue: Queue) -> bool:
        """Look again at a job that seems lost: it may have moved while we looked."""
        return (
            self._state(name) != "held"
            and name not in self._registries.waiting(queue)
            and self._status(name) == status
        )

    def _age(self, job: dict[str, Any]) -> float:
        """Seconds since a job's status last changed, on the clock that says when."""
        changed = moment(job["lastModifiedOn"])
        return (self._api.now() - changed).total_seconds()

    def _status(self, name: str) -> str:
        try:
            return self._api.job(int(name)).status
        except NotFound:
            return "deleted"

    def _requeue(self, name: str, queue: Queue, why: str) -> None:
        log.warning("job %s goes back to queue %r: %s", name, queue.name, why)
        self._registries.requeue(name, queue)

    def _state(self, name: str) -> str:
        job_id = job_number(name)
        return "free" if job_id is None else self._leases.state(job_id)


def _run_each(
    steps: Iterable[Callable[[], object]],
    *,
    answers: Callable[[], object] = lambda: None,
) -> None:
    """Run all of some steps: what fails for one keeps from no other.

    Args:
        steps: What to do.
        answers: Asked after a failure; raises if the rest would fail likewise.

    Raises:
        ServiceError: The first one that there was.
    """
    failed: ServiceError | None = None
    for step in steps:
        try:
            step()
        except ServiceError as error:
            failed = failed or error
            answers()
        except Exception:
            log.exception("a part of a sweep broke")
    if failed is not None:
        raise failed


def _is_readable(job: dict[str, Any]) -> bool:
    """Whether a job, as the API lists it, has what there is to know of it."""
    try:
        shapes.check(job, _LOST_JOB)
    except (TypeError, ValueError, LookupError) as error:
        log.warning("a job in the API's list cannot be read: %s", error)
        return False
    return True


def _queue_of(job: dict[str, Any]) -> str:
    return str((job.get("queue") or {}).get("name", ""))


def _request(job: dict[str, Any]) -> JobRequest:
    return JobRequest(
        job_id=job["id"],
        experiment_id=job["experiment"]["id"],
        time_limit=None,
        worker="",
    )
