"""Delivers what lost workers of this machine left in their journals."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from dioptra_worker.api.models import TERMINAL
from dioptra_worker.broker.parking import pause
from dioptra_worker.common.stop import JobStop
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.outbox import Outbox
from dioptra_worker.daemon.outbox.patience import Patience
from dioptra_worker.errors import NotFound, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Job
    from dioptra_worker.broker.leases import Leases
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.daemon.outbox.journal import About, Journal, Journals

log = logging.getLogger("dioptra_worker.estate")

JOURNAL_TIMEOUT = 60.0
"""Seconds that one journal may take; what is left then is for the next time."""


class OrphanedOutboxes:
    """The journals of jobs that go on elsewhere, or that are over.

    A job that nobody runs is left alone: whoever runs it, or tells its end, delivers
    what is in its journal first, so that its log is in order. Where that is a worker
    of another machine, it cannot see the journal; then the lines come late, each with
    the number of its attempt, and only they: results belong to the run that counts.
    Which one that is, Redis knows where it was not the first, since an attempt that
    ended early has no MLflow run; else the API says it: the job's MLflow run.
    """

    def __init__(
        self,
        *,
        api: DioptraApi,
        leases: Leases,
        journals: Journals,
        mask: Mask,
        pace: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            api: Where to deliver.
            leases: Knows which jobs are run.
            journals: Where to look.
            mask: Hides secrets in text.
            pace: What pauses between two tries are multiplied with.
            clock: Measures for how long a journal is left alone.
        """
        self._api = api
        self._leases = leases
        self._journals = journals
        self._mask = mask
        self._pace = pace
        self._elsewhere: set[int] = set()
        self._clock = clock
        # What the API did not take is left alone for longer each time.
        self._later: dict[int, float] = {}
        self._tries: Counter[int] = Counter()

    def sweep(self) -> None:
        """Deliver what can be delivered now.

        Raises:
            ServiceError: If the API or Redis is away.
        """
        orphaned = set(self._journals.orphaned_jobs())
        for later in (self._later, self._tries):  # others may have delivered theirs
            for job_id in later.keys() - orphaned:
                del later[job_id]
        before, self._elsewhere = self._elsewhere, self._run_elsewhere(orphaned)
        failed: ServiceError | None = None
        for job_id in sorted(orphaned):
            if self._later.get(job_id, 0.0) > self._clock():
                continue
            try:
                self._deliver_of(
                    job_id, is_elsewhere=job_id in before & self._elsewhere
                )
            except ServiceError as error:
                failed = failed or error
                self._api.ping()  # else the rest would fail likewise
                self._leave_for_later(job_id)
        # Last: to a machine whose clock was just set right, all that is left is old.
        self._journals.remove_stale()
        if failed is not None:
            raise failed

    def _deliver_of(self, job_id: int, *, is_elsewhere: bool) -> None:
        """Deliver what is left of a job that is over, or that another machine runs."""
        job = self._job(job_id)
        is_over = job is None or job.status in TERMINAL
        if not is_over and not is_elsewhere:
            return
        for journal in self._journals.orphaned(job_id):
            with journal:
                if is_over or not self._is_about_to_count(journal.about):
                    self._deliver(journal, job)

    def _is_about_to_count(self, about: About) -> bool:
        """Whether who runs a job does no more than tell the end of this very attempt.

        What its journal has counts as soon as that is told.
        """
        pending = self._leases.pending_status(about.job_id)
        return pending is not None and pending.attempt == about.attempt

    def _leave_for_later(self, job_id: int) -> None:
        self._later[job_id] = self._clock() + pause(self._tries[job_id])
        self._tries[job_id] += 1

    def _run_elsewhere(self, jobs: Iterable[int]) -> set[int]:
        """The jobs that another machine runs.

        It may be a container that shares this folder and is about to go on with the
        journal, so only a job that is found twice counts.
        """
        return {job_id for job_id in jobs if self._leases.is_held_elsewhere(job_id)}

    def _job(self, job_id: int) -> Job | None:
        try:
            return self._api.job(job_id)
        except NotFound:
            return None

    def _is_its_run(self, about: About) -> bool:
        """Whether an attempt is the one whose results the API shows."""
        ended = self._leases.ended_attempt(about.job_id)
        if ended is not None and ended != about.attempt:
            return False
        shown = self._api.mlflow_run(about.job_id)
        return shown is None or shown == about.run_id

    def _deliver(self, journal: Journal, job: Job | None) -> None:
        about = journal.about
        if about.start_token:  # Redis has perhaps forgotten it since
            self._leases.runs.remember_begun(about.start_token, journal.left_run)
        if job is None:
            log.info("job %d was deleted: its outbox is, too", about.job_id)
            journal.discard()
            return
        journal.ack_final_status()
        counts = job.status in TERMINAL and self._is_its_run(about)
        if not counts:
            journal.discard_results()
        waiting = journal.lines + journal.waiting - journal.log.waiting
        if not waiting:
            journal.discard()
            return
        words = (
            f"delivered late: {waiting:,} log records and results of attempt"
            f" {about.attempt}, left by worker {about.worker!r}, which was lost"
        )
        log.info("job %d: %s", about.job_id, words, extra={"event": "delivered-late"})
        stop = JobStop()  # nobody asks: this is broken off with the worker
        # Lost jobs are found by this thread, too: none is to hold it up.
        patience = Patience(self._api.ping, may_park=lambda: True, pace=self._pace)
        with (
            JobLog(
                self._api,
                about.job_id,
                mask=self._mask,
                stop=stop,
                patience=patience,
                journal=journal,
                prefix="" if counts else f"[attempt {about.attempt}] ",
                pace=self._pace,
            ) as job_log,
            Outbox(
                self._api,
                job_log,
                job_id=about.job_id,
                experiment_id=about.experiment_id,
                stop=stop,
                patience=patience,
                journal=journal,
                pace=self._pace,
            ) as outbox,
        ):
            job_log.log_job_only("INFO", words)
            outbox.release_artifacts()
            if outbox.finish(None, JOURNAL_TIMEOUT):
                self._later.pop(about.job_id, None)
                self._tries.pop(about.job_id, None)
                return
        self._leave_for_later(about.job_id)
