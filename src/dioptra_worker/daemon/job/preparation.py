"""Prepares a job: fetches what its runner is to do, and hands that over as a plan."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from dioptra_worker.api.session import MAX_CONNECTIONS
from dioptra_worker.common.outage_log import OutageLog
from dioptra_worker.common.retry import FOREVER, retry_until_available
from dioptra_worker.daemon.job.provenance_tags import stamp
from dioptra_worker.daemon.staging.background import Background
from dioptra_worker.daemon.staging.plan import Fetcher
from dioptra_worker.daemon.staging.setup_deadline import SetupDeadline
from dioptra_worker.daemon.staging.transfer import Way
from dioptra_worker.errors import NotFound, WorkerError
from dioptra_worker.provenance import WORKER_RUN_ID
from dioptra_worker.supervision.termination import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from dioptra_worker.api.models import Job
    from dioptra_worker.common.workspace import Workspace
    from dioptra_worker.daemon.job.context import Services
    from dioptra_worker.daemon.job.prefetch import Prefetch
    from dioptra_worker.daemon.job.runner_events import RunnerEvents
    from dioptra_worker.protocol.messages import Plan
    from dioptra_worker.supervision.supervisor import Supervisor

log = logging.getLogger("dioptra_worker.preparation")

T = TypeVar("T")

LAST_FETCHING = 1.0
"""Seconds that a job's end waits for downloads that were told to end."""


class Preparation:
    """Fetches what one job needs, from the first moment to the end of a ``with``."""

    def __init__(
        self,
        events: RunnerEvents,
        services: Services,
        *,
        ahead: Prefetch,
        space: Workspace,
        over: threading.Event,
    ) -> None:
        """Begin to fetch.

        Args:
            events: What is said of it, and to whom it belongs.
            services: What attempts share.
            ahead: Has the job's record.
            space: Where to put what comes.
            over: Set when nobody wants it any more.
        """
        self._events = events
        self._order = events.order
        self._services = services
        self._api = services.api
        self._ahead = ahead
        self._space = space
        self._over = over
        self._limit = SetupDeadline(services.settings.setup_deadline)
        self._pool = Background("dioptra-fetch", most=MAX_CONNECTIONS)
        self._fetching = self._pool.submit(self._fetch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Have whoever still fetches give up."""
        self._over.set()
        self._pool.settle(LAST_FETCHING)

    def hand_over_to(self, supervisor: Supervisor) -> None:
        """Give the runner its plan once that is there, or stop it after the deadline.

        Args:
            supervisor: Whose runner it is; all of it happens in its thread.
        """
        limit_set_up = self._events.limit_set_up
        self._limit.hold(
            lambda seconds, stop: supervisor.call_soon(
                partial(limit_set_up, seconds, stop)
            )
        )
        self._fetching.add_done_callback(
            lambda plan: supervisor.call_soon(
                partial(self._hand_over, plan, supervisor)
            )
        )

    def _fetch(self) -> Plan:
        events, services = self._events, self._services
        outages = OutageLog(events.tell)
        job: Job | None = self._ahead.job()
        if job is None:
            job = self._patiently(lambda: self._api.job(self._order.job_id), outages)
        events.group_id = job.group_id
        events.say(
            "INFO",
            f"worker {self._order.worker!r} runs entrypoint {job.entrypoint_name!r}",
        )
        way = Way(
            api=self._api,
            maker=services.launcher,
            cache=services.cache,
            limit=self._limit,
            say=events.say,
        )
        fetcher = Fetcher(
            way,
            job,
            self._space,
            seconds=services.settings.setup_deadline,
            outages=outages,
            sleep=self._sleep,
        )
        plan = fetcher.plan(self._pool)
        tags = stamp(
            job,
            plan,
            services.settings,
            worker=self._order.worker,
            platform_version=self._api.platform_version(),
        )
        events.worker_run = tags.get(WORKER_RUN_ID, "")
        return replace(plan, stamp=tags)

    def _hand_over(self, fetching: Future[Plan], supervisor: Supervisor) -> None:
        events = self._events
        try:
            plan = fetching.result()
        except _GivenUp:
            return
        except NotFound as error:
            supervisor.stop(StopRequest("setup", str(error), kill=True))
        except (WorkerError, OSError) as error:
            events.say("ERROR", f"the job could not be prepared: {error}")
            reason = f"the job could not be prepared: {error}"
            supervisor.stop(StopRequest("setup", reason, kill=True))
        except Exception as error:
            log.exception("job %d could not be prepared", self._order.job_id)
            reason = f"the job could not be prepared: {error!r}"
            supervisor.stop(StopRequest("setup", reason, kill=True))
        else:
            events.planned = True
            events.begin_limit()
            # A plan larger than the socket's buffer waits for the runner to read it,
            # and the runner may be waiting for us to read what it says.
            threading.Thread(target=supervisor.send, args=[plan], daemon=True).start()

    def _patiently(self, call: Callable[[], T], outages: OutageLog) -> T:
        """Call the API until it answers, however long it is away."""
        return retry_until_available(
            call,
            seconds=FOREVER,
            sleep=self._sleep,
            on_wait=outages.on_wait,
            on_back=outages.on_back,
        )

    def _sleep(self, seconds: float) -> None:
        if self._over.wait(seconds):
            raise _GivenUp


class _GivenUp(Exception):
    """Nobody wants what is being fetched."""
