"""Prepares a job: fetches what its runner is to do, and hands that over as a plan."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from dioptra_worker.api.session import MAX_CONNECTIONS
from dioptra_worker.common.background import Background
from dioptra_worker.common.network.backoff import FOREVER, retry_until_available
from dioptra_worker.common.network.outage_log import OutageLog
from dioptra_worker.common.stop import JOB_DELETED, Stopped, StopRequest
from dioptra_worker.common.worker_trouble import is_worker_trouble
from dioptra_worker.daemon.job.manifest import note_plan
from dioptra_worker.daemon.job.provenance_tags import run_tags
from dioptra_worker.daemon.staging.plan import PlanBuilder
from dioptra_worker.daemon.staging.transfer import TransferContext
from dioptra_worker.engine.wording import format_exception
from dioptra_worker.errors import NotFound, WorkerError
from dioptra_worker.provenance import WORKER_RUN_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from dioptra_worker.api.models import Job
    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.common.files.workspace import Workspace
    from dioptra_worker.common.stop import JobStop
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.daemon.job.prefetch import Prefetch
    from dioptra_worker.daemon.outbox.job_log import JobLog
    from dioptra_worker.protocol.messages import Plan
    from dioptra_worker.supervision.forkserver.runner_process import RunnerPipes
    from dioptra_worker.supervision.record.job_record import JobRecord
    from dioptra_worker.supervision.supervisor import Supervisor
    from dioptra_worker.supervision.time_limit import JobClock, SetupDeadline

log = logging.getLogger("dioptra_worker.preparation")

T = TypeVar("T")

END_TIMEOUT = 1.0
"""Seconds that a job's end waits for downloads that were told to end."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a runner is given, and what the daemon knows of its job by then.

    Attributes:
        plan: What the runner is to do.
        worker_run: The worker run that the job belongs to; empty when it has none.
        group_id: The job's group.
    """

    plan: Plan
    worker_run: str
    group_id: int


def if_ready(prepared: Future[Prepared]) -> Prepared | None:
    """What is prepared; None as long as, or when, it cannot be had."""
    if not prepared.done() or prepared.exception() is not None:
        return None
    return prepared.result()


class Preparation:
    """Fetches what one job needs, from the first moment to the end of a ``with``.

    Attributes:
        prepared: What the runner is given.
        is_handed_over: Whether it has perhaps begun with that.
    """

    def __init__(
        self,
        request: JobRequest,
        context: AttemptContext,
        job_log: JobLog,
        *,
        record: JobRecord,
        prefetch: Prefetch,
        space: Workspace,
        deadline: SetupDeadline,
        stop: JobStop,
    ) -> None:
        """Begin to fetch.

        Args:
            request: The job.
            context: What attempts share.
            job_log: Takes what is said of it.
            record: Takes what its manifest has to say.
            prefetch: Has asked the API for the job.
            space: Where to put what comes.
            deadline: Is extended by what comes.
            stop: Whether anybody wants it; asked when it cannot be had.
        """
        self._request = request
        self._context = context
        self._api = context.api
        self._log = job_log
        self._record = record
        self._prefetch = prefetch
        self._space = space
        self._deadline = deadline
        self._stop = stop
        self.is_handed_over = False
        self._pool = Background("dioptra-fetch", max_parallel=MAX_CONNECTIONS)
        self.prepared = self._pool.submit(self._fetch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Have whoever still fetches give up."""
        self._stop.end()
        # Who waits for a service that hangs does not hear it.
        self._pool.wait(self._stop.spare(END_TIMEOUT))

    def hand_over_to(
        self, supervisor: Supervisor, pipes: RunnerPipes, clock: JobClock
    ) -> None:
        """Give the runner its plan once that is there, or stop it.

        Args:
            supervisor: Whose runner it is; it happens in its thread, which the job's
                clock and the order of what the runner is told rely on.
            pipes: Where the runner is told.
            clock: Told that the plan is there.
        """
        self.prepared.add_done_callback(
            lambda _: supervisor.call_soon(partial(self._hand_over, pipes, clock))
        )

    def _fetch(self) -> Prepared:
        context = self._context
        outages = OutageLog(self._log.log_job_only)
        answers = self._prefetch.answers
        job: Job | None = answers.job()
        if job is None:
            try:
                job = self._retry(lambda: self._api.job(self._request.job_id), outages)
            except NotFound:
                self._stop.request(JOB_DELETED)
                raise Stopped from None
        self._log.say(
            "INFO",
            f"worker {self._request.worker!r} runs entrypoint {job.entrypoint_name!r}",
        )
        transfer = TransferContext(
            api=self._api,
            launcher=context.launcher,
            cache=context.cache,
            deadline=self._deadline,
            log=self._log.say,
            outages=outages,
            sleep=self._stop.sleep,
            retry_timeout=context.settings.setup_deadline,
        )
        builder = PlanBuilder(transfer, job, self._space, answers)
        plan = builder.build(self._pool)
        if context.preloading is not None:
            readers = {Path(item.bundle) for item in plan.inputs}
            own = [Path(plan.plugins), Path(plan.artifact_plugins)]
            context.preloading.look_at(job, own, readers)
        self._space.hand_over()
        if context.records is not None:
            note_plan(
                self._record,
                job,
                plan,
                inputs=builder.wanted,
                declared=builder.declared,
                digests=builder.digests,
                data=context.settings.data_parameters,
                platform=self._api.platform_version(),
            )
        stamp = run_tags(
            job,
            plan,
            context.settings,
            worker=self._request.worker,
            platform_version=self._api.platform_version(),
        )
        tags = {name: context.mask(value) for name, value in stamp.items()}
        return Prepared(
            plan=replace(plan, stamp=tags),
            worker_run=tags.get(WORKER_RUN_ID, ""),
            group_id=job.group_id,
        )

    def _hand_over(self, pipes: RunnerPipes, clock: JobClock) -> None:
        try:
            plan = self.prepared.result().plan
        except Stopped:
            return
        except NotFound as error:
            self._stop.request(StopRequest("setup", str(error), kill=True))
        except (WorkerError, OSError, MemoryError) as error:
            words = str(error) or format_exception(error)
            reason = f"the job could not be prepared: {words}"
            if is_worker_trouble(error):
                self._stop.request(StopRequest("trouble", reason, kill=True))
                return
            self._log.say("ERROR", reason)
            self._stop.request(StopRequest("setup", reason, kill=True))
        except Exception as error:
            log.exception("job %d could not be prepared", self._request.job_id)
            reason = f"the job could not be prepared: {format_exception(error)}"
            self._stop.request(StopRequest("setup", reason, kill=True))
        else:
            clock.is_ready("plan")
            self.is_handed_over = True
            pipes.send(plan)

    def _retry(self, call: Callable[[], T], outages: OutageLog) -> T:
        """Call the API until it answers, however long it is away."""
        return retry_until_available(
            call,
            seconds=FOREVER,
            sleep=self._stop.sleep,
            on_wait=outages.on_wait,
            on_back=outages.on_back,
        )
