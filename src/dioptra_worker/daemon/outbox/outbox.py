"""The outbox of one job: delivers what it produced to the REST API.

Log records and results travel in two queues, so that the log can say what a result
waits for. Output artifacts are held in a third until they are released: there is no way
to take one back from the API, so none is registered while another attempt may yet be
made at the job. The job's status goes last, when all queues are empty. A job and its
supervisor never wait for the network or the disk. What is not delivered is in the
job's journal, too, if it has one: another process may have to deliver it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from dioptra_worker.common.network.backoff import FOREVER, retry_until_available
from dioptra_worker.common.stop import JOB_DELETED, Stopped, status_set
from dioptra_worker.daemon.outbox.buffer import Buffer
from dioptra_worker.daemon.outbox.delivery_queue import Batch, DeliveryQueue
from dioptra_worker.daemon.outbox.items import ItemCodec, Result, weight
from dioptra_worker.daemon.outbox.patience import PARK_AFTER, Patience
from dioptra_worker.daemon.outbox.result_sender import ResultSender
from dioptra_worker.daemon.outbox.sender import (
    log_delivery_goes_on,
    log_delivery_waits,
    refused_login_is_unavailable,
)
from dioptra_worker.errors import (
    LoginRefused,
    NotFound,
    ServiceRefused,
    ServiceUnavailable,
)
from dioptra_worker.protocol.messages import ArtifactStored, Metric, RunStarted
from dioptra_worker.supervision.record.chains import MetricChains

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.broker.records import PendingStatus
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.daemon.outbox.buffer import Capacity
    from dioptra_worker.daemon.outbox.job_log import JobLog
    from dioptra_worker.daemon.outbox.journal import Journal
    from dioptra_worker.daemon.outbox.sender import Api

log = logging.getLogger("dioptra_worker.courier")

T = TypeVar("T")

_ARTIFACTS = ItemCodec[Result](ArtifactStored)


class Outbox:
    """One job's outbox; its methods may be called from any thread."""

    def __init__(
        self,
        api: Api,
        job_log: JobLog,
        *,
        job_id: int,
        experiment_id: int,
        stop: JobStop,
        journal: Journal | None = None,
        metrics: MetricChains | None = None,
        capacity: Capacity | None = None,
        patience: Patience | None = None,
        pace: float = 1.0,
    ) -> None:
        """Prepare; entering starts the results' queue.

        Args:
            api: Where to deliver.
            job_log: The job's log, which is open for longer.
            job_id: The job.
            experiment_id: Its experiment.
            stop: How long the delivery may take; told when the API no longer knows
                the job.
            journal: Keeps results on disk; what it has is delivered first.
            metrics: Is extended by each metric that is taken.
            capacity: What may wait; beyond it, metrics are dropped, counted and said.
            patience: How long the end of the job waits for an API that fails at it
                alone, the log's too; None is for ever.
            pace: What pauses between two tries are multiplied with.
        """
        self._api = api
        self._log = job_log
        self._job_id = job_id
        self._experiment_id = experiment_id
        self._stop = stop
        self._journal = journal
        self._pace = pace
        self._metrics = metrics or MetricChains()
        self._lock = threading.Lock()
        self._patience = patience or Patience(api.ping)
        self._held = journal.artifacts if journal else Buffer[Result](weight)
        self._run_id = journal.about.run_id if journal else ""
        self._results, self._artifacts = (
            DeliveryQueue(
                name,
                ResultSender(api, job_id, job_log),
                batch=Batch(),
                capacity=capacity,
                buffer=buffer,
                stop=stop,
                is_over=self._patience.is_over,
                pace=pace,
            )
            for name, buffer in (
                ("results", journal.results if journal else None),
                ("artifacts", self._held),
            )
        )
        self._released = self._delivers_artifacts = False
        self._queues = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._queues.enter_context(self._results)
        return self

    def __exit__(self, *_: object) -> None:
        self._queues.close()

    def __len__(self) -> int:
        """How many items wait for the API, lines of the log among them."""
        released = len(self._artifacts) if self._released else 0
        return len(self._log) + len(self._results) + released

    def put(self, item: Result) -> None:
        """Leave an item; returns at once."""
        if isinstance(item, RunStarted):
            self._note_run(item.run_id)
        with self._lock:  # two metrics must not both take the last place
            if isinstance(item, Metric) and not self._results.has_capacity:
                self._log.note_loss("metrics were dropped here: the outbox was full")
            elif isinstance(item, ArtifactStored):
                self._artifacts.put(item)
            else:
                if isinstance(item, Metric):
                    self._metrics.add(item)
                self._results.put(item)

    def _note_run(self, run_id: str) -> None:
        self._run_id = run_id
        if self._journal is not None:
            self._journal.record_run(run_id)

    @property
    def holds_artifacts(self) -> bool:
        """Whether there are artifacts that are not released."""
        return not self._released and len(self._artifacts) > 0

    def add_results(self, end: PendingStatus) -> PendingStatus:
        """An end with what has to be delivered before it, for who cannot see us."""
        artifacts = b"".join(map(_ARTIFACTS.encode, self._held.waiting_items()))
        return replace(
            end,
            run_id=self._run_id,
            artifacts=artifacts.decode(),
            is_told=not (len(self._results) or len(self._artifacts)),
        )

    def put_results(self, end: PendingStatus) -> None:
        """Leave the results that go with an end that another worker could not tell.

        It has perhaps delivered some of them.
        """
        if end.run_id:
            self._note_run(end.run_id)
            self._results.put_again(RunStarted(run_id=end.run_id))
        for line in end.artifacts.splitlines():
            with contextlib.suppress(ValueError):  # no worker wrote that
                self._artifacts.put_again(_ARTIFACTS.decode(line.encode()))

    def release_artifacts(self) -> None:
        """Deliver artifacts from now on: this attempt at the job is the last."""
        self._released = True

    def discard_artifacts(self) -> None:
        """Forget the artifacts that are held: this attempt does not count."""
        self._artifacts.clear()

    def discard_results(self) -> None:
        """Forget every result: nobody wants one of this job."""
        self._results.clear()
        self._artifacts.clear()

    @property
    def parked_for(self) -> ServiceUnavailable | None:
        """At what the API failed, and only at that, when `finish` left it for later."""
        return self._patience.parked_for

    def give_up_results(self, words: str) -> int:
        """Give up every result that still cannot be delivered; how many.

        Args:
            words: Why, for the job's log.
        """
        timeout = PARK_AFTER * self._pace  # another worker may have delivered them
        if self._results.drain(timeout):
            self._drain_artifacts(timeout)
        count = len(self._results) + len(self._artifacts)
        if count:
            self._log.say("ERROR", f"{count:,} results could not be delivered: {words}")
            self.discard_results()
        return count

    def give_up_log(self, words: str) -> None:
        """Give up every line of the log that waits.

        Args:
            words: Why.
        """
        if count := len(self._log):
            log.error(
                "job %d: %d log records: %s",
                self._job_id,
                count,
                words,
                extra={"event": "refused"},
            )
            self._log.clear()

    def finish(
        self,
        status: str | None,
        timeout: float | None = None,
        *,
        last_line: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Deliver everything, and the status last.

        The run and metrics go before artifacts, which need the run, and all of them
        before the rest of the log, which says what became of them.

        Args:
            status: The job's new status; None leaves it as it is.
            timeout: Seconds to wait at most for each part; None waits as long as there
                is time.
            last_line: Puts the last line of the log into it; False if it may not.

        Returns:
            Whether all of it is delivered, or nobody wants it any more.
        """
        self._patience.begin()
        if not (self._results.drain(timeout) and self._drain_artifacts(timeout)):
            return False
        if not (last_line() and self._log.drain(timeout)):
            return False
        if status is None:
            return True
        try:
            self._patiently(partial(self._set_status, status), "status", timeout)
        except NotFound:
            self._log.clear()
            self.discard_results()
            self._stop.request(JOB_DELETED)
        except (ServiceUnavailable, Stopped):
            return False
        except _SetByOthers as error:
            gone = status_set(error.status)
            self._log.say("WARNING", f"{gone.reason}: this worker leaves it so")
            self._log.drain(timeout)
            self._stop.request(gone)
        except ServiceRefused as error:
            log.error("job %d: %s", self._job_id, error)
        return True

    def _drain_artifacts(self, timeout: float | None) -> bool:
        """Deliver the artifacts that are released, which need the run to be known."""
        if not self._released or not self._artifacts:
            return True
        if not self._delivers_artifacts:
            self._delivers_artifacts = True
            self._queues.enter_context(self._artifacts)
        return self._artifacts.drain(timeout)

    def _patiently(
        self,
        call: Callable[[], T],
        what: str,
        timeout: float | None = None,
    ) -> T:
        """Call the API until it answers, as long as the job is ours.

        Raises:
            ServiceError: It refuses, or does not answer in time.
            Stopped: There is no time left, another worker may have the job, or the API
                fails at this alone.
        """

        def call_once() -> T:
            if self._stop.superseded is not None:
                raise Stopped
            try:
                return call()
            except ServiceUnavailable as error:
                if self._patience.is_over(error):
                    raise Stopped from error
                raise

        return retry_until_available(
            lambda: self._stop.call(call_once),
            seconds=FOREVER if timeout is None else timeout,
            sleep=lambda seconds: self._stop.pause(seconds * self._pace),
            on_wait=partial(log_delivery_waits, self._job_id, what),
            on_back=lambda _, seconds: log_delivery_goes_on(
                self._job_id, what, seconds
            ),
        )

    def _set_status(self, status: str) -> None:
        """Set the status; that it is set already is as good."""
        with refused_login_is_unavailable():
            try:
                self._api.set_status(self._experiment_id, self._job_id, status)
            except (NotFound, LoginRefused):
                raise
            except ServiceRefused:
                reached = "queued" if status == "reset" else status
                now = self._api.job(self._job_id).status
                if now == "started":
                    raise
                if now != reached:
                    raise _SetByOthers(now) from None


class _SetByOthers(Exception):
    """The job is not as we left it: somebody has set its status.

    Attributes:
        status: What it is now.
    """

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status
