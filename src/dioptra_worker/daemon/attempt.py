"""One attempt at one job, from ``started`` to its final status in the REST API."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from dioptra_worker.api.client import PARALLEL, DioptraApi
from dioptra_worker.api.models import Job, LogRecord
from dioptra_worker.api.patience import persist
from dioptra_worker.daemon.courier import Address, Courier, MlflowRun, Status
from dioptra_worker.daemon.fetch import Fetcher
from dioptra_worker.daemon.supervisor import Report, Stop, Stream, Supervisor
from dioptra_worker.daemon.verdict import Fate, Verdict, duration, judge
from dioptra_worker.errors import (
    NotFound,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
    WorkerError,
)
from dioptra_worker.records import (
    ArtifactStored,
    Begin,
    Log,
    Message,
    Metric,
    Plan,
    RunStarted,
    Session,
    SessionWanted,
)
from dioptra_worker.runner.workspace import Workspace, workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.daemon.launcher import Launcher
    from dioptra_worker.logs import Mask
    from dioptra_worker.settings import Settings

log = logging.getLogger("dioptra_worker.attempt")

T = TypeVar("T")

FOREVER = 10 * 365 * 24 * 3600.0
CLOSE_RUN_TIMEOUT = 90.0
GIVE_BACK_TIMEOUT = 10.0
"""Seconds that a worker which shuts down waits for the API to take a job back."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the queue asks for.

    Attributes:
        job_id: The job's id in the API.
        experiment_id: Its experiment's.
        timeout: Seconds that the job may run; None is without a limit.
        worker: The worker's name, for the log.
    """

    job_id: int
    experiment_id: int
    timeout: float | None
    worker: str


@dataclass(frozen=True)
class Services:
    """What attempts share.

    Attributes:
        api: The daemon's session with the REST API.
        launcher: Hands out runners.
        settings: The daemon's settings.
        mask: Hides secrets in text.
    """

    api: DioptraApi
    launcher: Launcher
    settings: Settings
    mask: Mask


class Attempt:
    """Drives one job; `run` in one thread, `stop` from any other."""

    def __init__(self, order: Order, services: Services) -> None:
        self.order = order
        self._services = services
        self._api = services.api
        self._lock = threading.Lock()
        self._stop: Stop | None = None
        self._stopped = threading.Event()
        self._supervisor: Supervisor | None = None

    def stop(self, stop: Stop) -> None:
        """Stop the job, now or as soon as it has a runner; the first reason counts."""
        with self._lock:
            self._stop = self._stop or stop
            self._stopped.set()
            if self._supervisor is not None:
                self._supervisor.stop(stop)

    def run(self) -> Verdict:
        """Run the job and deliver everything.

        Returns:
            How it ended. The API knows already, unless the job was given back.
        """
        order = self.order
        try:
            self._patiently(
                lambda: self._api.set_status(
                    order.experiment_id, order.job_id, "started"
                )
            )
        except NotFound:
            return _dropped("the job was deleted before it could start")
        except ServiceRefused as error:
            return _dropped(f"it is not ours to start: {error}")
        except _StoppedEarly as early:
            return early.verdict
        with self._courier() as conversation:
            verdict = self._watched(conversation)
            if verdict.fate == "given back":
                return self._give_back(conversation, verdict)
            if verdict.fate != "dropped":
                conversation.conclude(verdict)
            conversation.courier.drain()
        return verdict

    def _give_back(self, conversation: _Conversation, verdict: Verdict) -> Verdict:
        """Set the job back to ``queued``, or fail it where the settings say so."""
        if self._services.settings.on_interruption == "fail":
            verdict = replace(verdict, fate="failed")
            conversation.conclude(verdict)
        else:
            conversation.say("WARNING", f"the job is given back: {verdict.reason}")
            conversation.courier.put(Status("reset"))
        if conversation.courier.drain(GIVE_BACK_TIMEOUT):
            return verdict
        return replace(
            verdict, fate="left", reason=f"{verdict.reason}; the API is away"
        )

    # -- pieces ----------------------------------------------------------------

    @contextlib.contextmanager
    def _courier(self) -> Iterator[_Conversation]:
        conversation = _Conversation(self.order, self._services)
        address = Address(
            job_id=self.order.job_id, experiment_id=self.order.experiment_id
        )
        courier = Courier(
            self._api,
            address,
            group_id=lambda: conversation.group_id,
            on_gone=lambda: self.stop(Stop("gone", "the job was deleted")),
        )
        with courier:
            conversation.courier = courier
            yield conversation

    def _watched(self, conversation: _Conversation) -> Verdict:
        """Run the job with an eye on its status in the API."""
        done = threading.Event()
        watcher = threading.Thread(
            target=self._watch_status, args=[done], name="dioptra-status"
        )
        watcher.start()
        try:
            return self._supervised(conversation)
        except _StoppedEarly as early:
            return early.verdict
        except WorkerError as error:
            conversation.say("ERROR", str(error))
            return Verdict(fate="failed", reason=str(error), mlflow="FAILED")
        except OSError as error:
            reason = f"the worker could not prepare the job: {error}"
            conversation.say("ERROR", reason)
            return Verdict(fate="failed", reason=reason, mlflow="FAILED")
        finally:
            done.set()
            watcher.join()

    def _supervised(self, conversation: _Conversation) -> Verdict:
        settings = self._services.settings
        with (
            workspace(settings.work_dir, self.order.job_id) as space,
            ThreadPoolExecutor(PARALLEL, thread_name_prefix="dioptra-fetch") as pool,
        ):
            fetching = pool.submit(self._fetch, space, conversation, pool)
            process, pipes = self._services.launcher.job()
            supervisor = Supervisor(
                self._services.launcher,
                process,
                pipes,
                listener=conversation,
                grace=settings.kill_grace,
            )
            conversation.supervisor = supervisor
            self._adopt(supervisor)
            supervisor.send(
                Begin(
                    job_id=self.order.job_id,
                    directory=str(space.root),
                    api_url=self._api.url,
                    log_level=settings.log_level,
                    grace=settings.kill_grace,
                )
            )
            supervisor.limit(settings.setup_deadline, _setup_limit(settings))
            fetching.add_done_callback(
                lambda future: supervisor.call(
                    lambda: self._hand_over(future, conversation)
                )
            )
            report = supervisor.run()
            self._stopped.set()  # whoever still fetches may give up
            return self._settle(report, conversation)

    def _adopt(self, supervisor: Supervisor) -> None:
        with self._lock:
            self._supervisor = supervisor
            if self._stop is not None:
                supervisor.stop(self._stop)

    def _fetch(
        self, space: Workspace, conversation: _Conversation, pool: ThreadPoolExecutor
    ) -> Plan:
        job: Job = self._patiently(lambda: self._api.job(self.order.job_id))
        conversation.group_id = job.group_id
        conversation.say(
            "INFO",
            f"worker {self.order.worker!r} runs entrypoint {job.entrypoint_name!r}",
        )
        fetcher = Fetcher(
            self._api,
            job,
            space,
            seconds=self._services.settings.setup_deadline,
            on_wait=lambda error: conversation.say("WARNING", f"waiting: {error}"),
            sleep=self._sleep,
        )
        return fetcher.plan(pool)

    def _hand_over(self, fetching: Future[Plan], conversation: _Conversation) -> None:
        """Give the runner its plan, in the supervisor's thread."""
        supervisor = conversation.supervisor
        assert supervisor is not None
        try:
            plan = fetching.result()
        except _StoppedEarly:
            return
        except NotFound as error:
            supervisor.stop(Stop("setup", str(error), at_once=True))
        except (WorkerError, OSError) as error:
            conversation.say("ERROR", f"the job could not be prepared: {error}")
            reason = f"the job could not be prepared: {error}"
            supervisor.stop(Stop("setup", reason, at_once=True))
        except Exception as error:
            log.exception("job %d could not be prepared", self.order.job_id)
            reason = f"the job could not be prepared: {error!r}"
            supervisor.stop(Stop("setup", reason, at_once=True))
        else:
            conversation.planned = True
            conversation.begin_limit()
            # A plan larger than the socket's buffer waits for the runner to read it,
            # and the runner may be waiting for us to read what it says.
            threading.Thread(target=supervisor.send, args=[plan], daemon=True).start()

    def _settle(self, report: Report, conversation: _Conversation) -> Verdict:
        """Judge, and close an MLflow run that the runner left open."""
        verdict = judge(report)
        closed = report.ended is not None and report.ended.run_closed
        if conversation.run_id is not None and not closed:
            done = self._services.launcher.close_run(
                conversation.run_id, verdict.mlflow, timeout=CLOSE_RUN_TIMEOUT
            )
            if not done:
                conversation.say(
                    "WARNING", f"MLflow run {conversation.run_id} could not be closed"
                )
        return verdict

    def _watch_status(self, done: threading.Event) -> None:
        """Stop the job when it is deleted or reset in the API."""
        while not done.wait(self._services.settings.status_poll):
            try:
                status = self._api.job(self.order.job_id).status
            except NotFound:
                self.stop(Stop("gone", "the job was deleted"))
            except ServiceError as error:
                log.debug("the job's status is not known now: %s", error)
            else:
                if status != "started":
                    self.stop(Stop("gone", f"the job's status was set to {status!r}"))

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call the API until it answers, however long it is away."""
        return persist(call, seconds=FOREVER, sleep=self._sleep, on_wait=_log_wait)

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _StoppedEarly(self._stop or Stop("shutdown", "the worker stopped"))


class _StoppedEarly(Exception):
    """The job was stopped before it had a runner."""

    def __init__(self, stop: Stop) -> None:
        fate: Fate = "dropped" if stop.kind == "gone" else "given back"
        self.verdict = Verdict(fate=fate, reason=stop.reason, mlflow="KILLED")
        super().__init__(stop.reason)


@dataclass
class _Conversation:
    """Passes on what a runner says: to the outbox, masked and stamped."""

    order: Order
    services: Services
    courier: Courier = field(init=False)
    supervisor: Supervisor | None = None
    group_id: int = 0
    run_id: str | None = None
    planned: bool = False

    def message(self, message: Message) -> None:
        """A message from the runner."""
        match message:
            case Log(severity=severity, logger=logger, message=text):
                self._record(severity, logger, text)
            case Metric() | ArtifactStored():
                self.courier.put(message)
            case RunStarted(run_id=run_id):
                self.run_id = run_id
                self.courier.put(MlflowRun(run_id))
                self.begin_limit()
            case SessionWanted():
                threading.Thread(
                    target=self._answer, args=[message], daemon=True
                ).start()
            case _:
                log.debug("job %d: %s", self.order.job_id, message)

    def line(self, stream: Stream, text: str) -> None:
        """A line that the job or a process of it wrote."""
        self._record("INFO" if stream == "stdout" else "WARNING", stream, text)

    def say(self, severity: str, text: str) -> None:
        """A line of the worker's own in the job's log, and in the worker's."""
        log.log(
            logging.getLevelNamesMapping()[severity],
            "job %d: %s",
            self.order.job_id,
            text,
        )
        self._record(severity, "dioptra_worker", text)

    def begin_limit(self) -> None:
        """Start the job's clock, once its runner and its plan are both there.

        Until then the set-up deadline holds: waiting for a service is not the job's
        time.
        """
        if self.supervisor is None or self.run_id is None or not self.planned:
            return
        limit = self.order.timeout
        words = f"timed out after its limit of {duration(limit or 0)}"
        self.supervisor.limit(limit, Stop("timeout", words))

    def conclude(self, verdict: Verdict) -> None:
        """The last line of the log, then the final status."""
        if verdict.fate == "finished":
            self.say("INFO", "the job finished")
            self.courier.put(Status("finished"))
            return
        word = "was stopped" if verdict.fate == "stopped" else "failed"
        self.say("ERROR", f"the job {word}: {verdict.reason}")
        self.courier.put(Status("failed"))

    def _record(self, severity: str, logger: str, text: str) -> None:
        stamp = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        message = f"{stamp[:-6]}Z {_sendable(self.services.mask(text))}"
        self.courier.put(LogRecord(severity=severity, logger=logger, message=message))

    def _answer(self, wanted: SessionWanted) -> None:
        """Give the runner our session with the API."""
        api = self.services.api
        cookies: dict[str, str] = {}
        trouble = None
        try:
            cookies = api.cookies(renew=wanted.renew)
        except ServiceError as error:
            trouble = str(error)
        if self.supervisor is not None:
            self.supervisor.send(
                Session(
                    question=wanted.question,
                    url=api.url,
                    cookies=cookies,
                    error=trouble,
                )
            )


def _sendable(text: str) -> str:
    """Text that JSON over UTF-8 and the API's database can hold."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _dropped(reason: str) -> Verdict:
    return Verdict(fate="dropped", reason=reason, mlflow="KILLED")


def _setup_limit(settings: Settings) -> Stop:
    limit = duration(settings.setup_deadline)
    return Stop(
        "setup",
        f"the job's code and its MLflow run could not be had within {limit}"
        " (DIOPTRA_WORKER_SETUP_DEADLINE)",
    )


def _log_wait(error: ServiceUnavailable) -> None:
    log.warning("waiting: %s", error)
