"""A run in a runner of its own, under the daemon's supervisor."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.common.files.stale_workspaces import remove_stale
from dioptra_worker.common.files.workspace import temporary_work_dir, workspace
from dioptra_worker.common.stop import JobStop, StopRequest
from dioptra_worker.errors import ServiceRefused
from dioptra_worker.protocol.messages import (
    NO_JOB,
    BatchClaimReply,
    BatchClaimRequest,
    RunStarted,
    SessionReply,
    SessionRequest,
    Start,
)
from dioptra_worker.supervision.channel.answering import Answering
from dioptra_worker.supervision.launcher import Launcher, choose_mode
from dioptra_worker.supervision.record.storing import store
from dioptra_worker.supervision.supervisor import Supervisor
from dioptra_worker.supervision.termination import GracePeriods
from dioptra_worker.supervision.time_limit import JobClock, SetupDeadline
from dioptra_worker.supervision.verdict import judge
from dioptra_worker.tools.workbench.running.results import Recorder
from dioptra_worker.tools.workbench.running.run_manifest import (
    note_plan,
    read_environment_soon,
    send,
)
from dioptra_worker.tools.workbench.running.run_record import complete
from dioptra_worker.tracking.backend import SERVER_MODULES
from dioptra_worker.tracking.folder_run import FolderTracking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from dioptra_worker.common.files.workspace import Workspace
    from dioptra_worker.common.outcome import Outcome
    from dioptra_worker.protocol.messages import Message, RunnerMessage
    from dioptra_worker.supervision.channel.runner_output import RunnerListener
    from dioptra_worker.supervision.forkserver.runner_process import RunnerPipes
    from dioptra_worker.supervision.termination import RunnerReport
    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan
    from dioptra_worker.tools.workbench.running.results import Result

    Claims = Callable[[BatchClaimRequest], BatchClaimReply]

GRACE_PERIOD = 5.0
"""Seconds between telling a run to stop and killing it."""
SETUP_TIMEOUT = 60.0
"""Seconds that MLflow may take to make a run, where one is configured."""
UNKNOWN_RUN_TIMEOUT = 5.0
"""Seconds for MLflow to close a run that it had begun when its creation was stopped."""
STORE_TIMEOUT = 15.0
"""Seconds for MLflow to take what is recorded of a run."""
SETUP_TOOK_TOO_LONG = (
    "MLflow gave no run within {}: keep the run in a folder instead, with --store DIR"
)


class LocalRunner:
    """Makes runs one after the other; the fork server stays warm between them.

    Attributes:
        interrupted: Whether somebody has pressed Ctrl-C during a run.
    """

    def __init__(
        self,
        *,
        folder: Path | None,
        isolation: str,
        preload: tuple[str, ...],
        environment: Mapping[str, str],
        session: Callable[[SessionRequest], SessionReply],
        claims: Claims | None = None,
        log_level: str = "INFO",
        adopts_orphans: bool = False,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            folder: Where runs are kept; None for the MLflow that the environment names.
            isolation: ``fork``, ``spawn`` or ``auto``.
            preload: Modules to import once for all runs.
            environment: What runs see.
            session: Answers plugins that ask for a session with the REST API.
            claims: Answers what batch workers ask about their elements; without it
                nothing is recorded.
            log_level: The least severity that the runs' logs have.
            adopts_orphans: Whether this process is for runs alone, and ends what a
                fork server that was killed leaves behind.
        """
        self._folder = folder
        self._session = session
        self._claims = claims
        self._log_level = log_level
        self._launcher = Launcher(
            mode=choose_mode(isolation),
            preload=preload,
            grace=GRACE_PERIOD,
            environment=environment,
            tracking=() if folder is not None else SERVER_MODULES,
            adopts_orphans=adopts_orphans,
        )
        self.interrupted = False
        self._lock = threading.Lock()
        self._stop: JobStop | None = None

    def __enter__(self) -> Self:
        self._launcher.start()  # it imports while the entrypoint is read
        return self

    def __exit__(self, *_: object) -> None:
        self._launcher.close()

    def run(
        self,
        run_plan: RunPlan,
        *,
        listener: RunnerListener | None,
        timeout: float | None,
        seed: int | None = None,
    ) -> Result:
        """Run an entrypoint to its end; Ctrl-C stops it, twice at once.

        Args:
            run_plan: What to run.
            listener: Hears what it says.
            timeout: Seconds that it may take.
            seed: What its random generators are to be seeded with; None is fresh.

        Returns:
            What came of it.

        Raises:
            RunnerError: No runner could be started.
            OSError: The run's folder could not be made.
        """
        started = time.monotonic()
        read_environment_soon()
        parent = temporary_work_dir()
        if parent.is_dir():
            remove_stale(parent)
        stop = JobStop()  # first: a change may stop a run that is still prepared
        with self._current(stop), workspace(parent, NO_JOB) as space:
            plan = run_plan.stage(space)
            process, pipes = self._launcher.start_runner(seed=seed)
            clock = JobClock(
                SetupDeadline(SETUP_TIMEOUT, SETUP_TOOK_TOO_LONG), limit=timeout
            )
            clock.is_ready("plan")
            recorder = _Recorder(
                listener=listener,
                config=plan.config,
                clock=clock,
                send=pipes.send,
                session=self._session,
                claims=self._claims,
            )
            note_plan(recorder, plan, run_plan)
            token = uuid.uuid4().hex
            supervisor = Supervisor(
                self._launcher,
                process,
                pipes,
                listener=recorder,
                stop=stop,
                deadline=clock,
                grace_periods=GracePeriods(grace=GRACE_PERIOD),
            )
            with ThreadPoolExecutor(1) as pool, _ending(stop):
                pipes.send(self._begin(space, pipes, token))
                watching = pool.submit(supervisor.run)
                pipes.send(plan)
                report = self._wait_for(watching.result, stop)
                recorder.close()
            for words in (report.leftovers, space.leftovers()):
                if words:
                    recorder.say(words)
            verdict = self._conclude(report, recorder, run_plan, token)
        return recorder.result(
            entrypoint=run_plan.entrypoint.name,
            parameters=run_plan.parameters,
            reason=verdict.reason,
            seconds=time.monotonic() - started,
        )

    def stop(self, reason: str) -> None:
        """Stop what runs, from any thread."""
        with self._lock:
            if self._stop is not None:
                self._stop.request(StopRequest("requested", reason))

    @contextlib.contextmanager
    def _current(self, stop: JobStop) -> Iterator[None]:
        with self._lock:
            self._stop = stop
        try:
            yield
        finally:
            with self._lock:
                self._stop = None

    def _wait_for(
        self, result: Callable[[], RunnerReport], stop: JobStop
    ) -> RunnerReport:
        """Wait for the end; whoever waits may press Ctrl-C meanwhile, also again."""
        while True:
            try:
                return result()
            except KeyboardInterrupt:
                stop.request(
                    StopRequest("requested", "interrupted", kill=self.interrupted)
                )
                self.interrupted = True

    def _begin(self, space: Workspace, pipes: RunnerPipes, token: str) -> Start:
        return Start(
            job_id=NO_JOB,
            directory=str(space.root),
            api_url="",
            log_level=self._log_level,
            grace=GRACE_PERIOD,
            folder=None if self._folder is None else str(self._folder),
            token=token,
            temporary=str(space.temporary),
            address=pipes.processes.listen(space.address),
        )

    def _conclude(
        self, report: RunnerReport, recorder: Recorder, run_plan: RunPlan, token: str
    ) -> Outcome:
        """Judge, and do for the run what a runner that died could not."""
        verdict = judge(report)
        run_id = recorder.run_id
        said = report.result is not None and report.result.run_closed
        closed = said and report.exit.code == 0
        if self._folder is None:
            if run_id is None:  # it may have been stopped while MLflow made it
                timeout = UNKNOWN_RUN_TIMEOUT
                self._launcher.close_begun(token, verdict.mlflow, timeout=timeout)
            elif not closed:
                self._launcher.close_run(run_id, verdict.mlflow, timeout=15.0)
            send(recorder, verdict.reason, self._store)
            return verdict
        if run_id and not closed:
            FolderTracking(self._folder).close(run_id, verdict.mlflow)
        complete(self._folder, recorder, run_plan, reason=verdict.reason)
        return verdict

    def _store(self, manifest: bytes) -> None:
        """Have MLflow keep a manifest.

        Raises:
            ServiceRefused: It is not there; why may be anything.
        """
        with tempfile.TemporaryFile() as file:
            file.write(manifest)
            file.seek(0)
            report = store(self._launcher, file.fileno(), timeout=STORE_TIMEOUT)
        if trouble := report.get("error"):
            raise ServiceRefused(str(trouble), service="MLflow")


@contextlib.contextmanager
def _ending(stop: JobStop) -> Iterator[None]:
    """Have a runner killed that nobody waits for any more: its supervisor would."""
    try:
        yield
    except BaseException:
        stop.request(StopRequest("requested", "interrupted", kill=True))
        raise


class _Recorder(Recorder):
    """Gathers, keeps the run's clock, and answers for the platform."""

    def __init__(
        self,
        *,
        listener: RunnerListener | None,
        config: Mapping[str, Any],
        clock: JobClock,
        send: Callable[[Message], object],
        session: Callable[[SessionRequest], SessionReply],
        claims: Claims | None,
    ) -> None:
        super().__init__(listener=listener, config=config)
        self._clock = clock
        self._send = send
        self._sessions: Answering[SessionRequest] = Answering(
            lambda request: send(session(request)), name="dioptra-sessions"
        )
        self._claims: Answering[BatchClaimRequest] | None = None
        if claims is not None:
            self._claims = Answering(
                lambda request: send(claims(request)), name="dioptra-claims"
            )

    def message(self, message: RunnerMessage) -> None:
        """Take a message from the runner.

        Raises:
            NotBelieved: There is no such step.
            LimitReached: It asks too much.
        """
        if isinstance(message, SessionRequest):
            self._sessions.ask(message)
            return
        if isinstance(message, BatchClaimRequest) and self._claims is not None:
            self._claims.ask(message)
            return
        if isinstance(message, BatchClaimRequest):  # no other run shares its batch
            answer = BatchClaimReply(request_id=message.request_id, outcome="off")
            self._send(answer)
            return
        if isinstance(message, RunStarted):
            self._clock.is_ready("run")
        super().message(message)

    def close(self) -> None:
        """Answer no more."""
        self._sessions.close()
        if self._claims is not None:
            self._claims.close()
