"""A run in this very process: for debuggers, and for tests that look at values.

There is no supervisor here: a plugin that ends the process ends whoever runs it, and
nothing limits its time.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import structlog

from dioptra_worker.common.environment import environment_variables
from dioptra_worker.common.files.workspace import temporary_work_dir, workspace
from dioptra_worker.errors import RunnerError, WorkerError
from dioptra_worker.protocol.job_variables import JOB_VARIABLE
from dioptra_worker.protocol.messages import NO_JOB, Metric, RunStarted, SessionRequest
from dioptra_worker.runner.errands import record_run
from dioptra_worker.runner.facts import facts_at_end, facts_at_start
from dioptra_worker.runner.job import JobFailed, run_job
from dioptra_worker.runner.job_context import job_context
from dioptra_worker.sdk import compat, output_capture
from dioptra_worker.sdk.missing_names import explain_missing_names
from dioptra_worker.sdk.worker import bridge as sdk_bridge
from dioptra_worker.tools.workbench.running.results import Recorder
from dioptra_worker.tools.workbench.running.run_manifest import note_plan, send
from dioptra_worker.tools.workbench.running.run_record import complete
from dioptra_worker.tracking.backend import backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.protocol import messages
    from dioptra_worker.protocol.messages import OutputStream, Plan
    from dioptra_worker.supervision.channel.runner_output import RunnerListener
    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan
    from dioptra_worker.tools.workbench.running.results import Result
    from dioptra_worker.tracking.base import Tracking

    Sessions = Callable[[SessionRequest], messages.SessionReply]
    OnFailure = Callable[[BaseException, list[Path]], None]


def run(
    run_plan: RunPlan,
    *,
    folder: Path | None,
    sessions: Sessions,
    listener: RunnerListener | None = None,
    on_failure: OnFailure | None = None,
    log_level: str = "INFO",
    capture: bool = False,
) -> Result:
    """Run an entrypoint in this process.

    Args:
        run_plan: What to run.
        folder: Where the run is kept; None for the MLflow that the environment names.
        sessions: Answers plugins that ask for a session with the REST API.
        listener: Hears what the run says, but for what it prints.
        on_failure: Called with what a plugin raised and the folders of the plugins.
        log_level: The least severity of log records that the run is to have.
        capture: Note what the run prints, and still let it be printed.

    Returns:
        What came of it, with what each step returned.

    Raises:
        WorkerError: The run could not be kept there.
        KeyboardInterrupt: Somebody had enough of it.
    """
    started = time.monotonic()
    recorder = Recorder(listener=listener)
    tracking = backend(None if folder is None else str(folder))
    parent = temporary_work_dir()
    with workspace(parent, NO_JOB) as space:
        plan = run_plan.stage_in_place(space)
        recorder.config = plan.config
        token = uuid.uuid4().hex
        try:
            run_id, uri = tracking.start(NO_JOB, token)
        except KeyboardInterrupt:  # which MLflow does not hear
            with contextlib.suppress(WorkerError):
                tracking.close_begun(token, "KILLED")
            raise
        recorder.message(RunStarted(run_id=run_id, artifact_uri=uri))
        for fact in facts_at_start():
            recorder.message(fact)
        note_plan(recorder, plan, run_plan)
        reason = "interrupted"
        try:
            with _as_in_a_runner(
                space.root,
                recorder,
                _Bridge(plan, tracking, run_id, recorder, sessions),
                log_level=log_level,
                capture=capture,
            ):
                try:
                    run_job(
                        plan,
                        run_id=run_id,
                        store=tracking.store(uri),
                        describe=tracking.describe,
                        send=recorder.message,
                        returned=recorder.returned,
                    )
                    reason = ""
                except JobFailed as error:
                    reason = str(error)
                    if on_failure is not None:
                        folders = [Path(plan.plugins), Path(plan.artifact_plugins)]
                        on_failure(_origin(error), folders)
                except SystemExit as error:
                    reason = f"the job called sys.exit({error.code!r})"
        finally:
            tracking.close(run_id, "FAILED" if reason else "FINISHED")
        for fact in facts_at_end():
            recorder.message(fact)
        if folder is not None:
            complete(folder, recorder, run_plan, reason=reason)
        else:
            send(recorder, reason, record_run.store)
    return recorder.result(
        entrypoint=run_plan.entrypoint.name,
        parameters=run_plan.parameters,
        reason=reason,
        seconds=time.monotonic() - started,
    )


def _origin(error: BaseException) -> BaseException:
    """What a plugin raised, behind the errors that say where."""
    found: BaseException = error.__context__ or error
    while found.__cause__ is not None and type(found).__module__.startswith(
        "dioptra_worker."
    ):
        found = found.__cause__
    return found


class _Bridge:
    """The plugin SDK's bridge, without a daemon on the other side."""

    job_id = NO_JOB

    def __init__(
        self,
        plan: Plan,
        tracking: Tracking,
        run_id: str,
        recorder: Recorder,
        sessions: Sessions,
    ) -> None:
        self.context = job_context(plan)
        self._tracking = tracking
        self._run_id = run_id
        self._recorder = recorder
        self._sessions = sessions

    def set_element_state(
        self, element: str, state: str, *, error: str = "", last: bool = False
    ) -> str:
        del element, state, error, last  # no other run shares a batch with this one
        return "off"

    def append_metric(self, name: str, value: float, step: int | None) -> None:
        self._recorder.message(Metric(name=name, value=float(value), step=step))
        self._tracking.log_metric(self._run_id, name, float(value), step or 0)

    def session(self) -> sdk_bridge.Session:
        return self._ask(renew=False)

    def renew(self) -> sdk_bridge.Session:
        return self._ask(renew=True)

    def _ask(self, *, renew: bool) -> sdk_bridge.Session:
        answer = self._sessions(SessionRequest(request_id=0, renew=renew))
        if answer.error:
            raise RunnerError(answer.error)
        return sdk_bridge.Session(url=answer.url, cookies=answer.cookies)


@contextlib.contextmanager
def _as_in_a_runner(
    directory: Path,
    recorder: Recorder,
    bridge: _Bridge,
    *,
    log_level: str,
    capture: bool,
) -> Iterator[None]:
    """Have what plugins rely on, folder and logging included; then as before."""
    path, modules = list(sys.path), dict(sys.modules)
    sys.path.insert(0, str(compat.path()))
    explain_missing_names()
    sdk_bridge.install(bridge)
    try:
        with (
            environment_variables({JOB_VARIABLE: str(NO_JOB)}),
            contextlib.chdir(directory),
            _logging(recorder, logging.getLevelNamesMapping()[log_level]),
            _printing(recorder, capture),
        ):
            yield
    finally:
        sdk_bridge.install(None)
        sys.path[:] = path
        # A plugin that was imported before is the one of that name again.
        sys.modules.update({n: m for n, m in modules.items() if n not in sys.modules})


@contextlib.contextmanager
def _logging(recorder: Recorder, wanted: int) -> Iterator[None]:
    """Note log records, beside whoever logs already."""
    handler = output_capture.MessageHandler(recorder.message)
    handler.setLevel(wanted)
    handler.setFormatter(output_capture.formatter())
    root = logging.getLogger()
    level, config = root.level, structlog.get_config()
    root.addHandler(handler)
    root.setLevel(min(level, wanted) or wanted)
    output_capture.route_structlog(cache=False)
    try:
        yield
    finally:
        structlog.configure(**config)
        root.setLevel(level)
        root.removeHandler(handler)


@contextlib.contextmanager
def _printing(recorder: Recorder, capture: bool) -> Iterator[None]:
    if not capture:
        yield
        return
    out, err = (
        _Tee(sys.stdout, "stdout", recorder),
        _Tee(sys.stderr, "stderr", recorder),
    )
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
    out.finish()
    err.finish()


class _Tee(io.TextIOBase):
    """Passes text on and notes its lines."""

    def __init__(
        self, target: TextIO, stream: OutputStream, recorder: Recorder
    ) -> None:
        self._target = target
        self._stream = stream
        self._recorder = recorder
        self._rest = ""

    def write(self, text: str) -> int:
        """Write text."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._recorder.line(self._stream, line)
        return self._target.write(text)

    def flush(self) -> None:
        """Pass on what is held back."""
        self._target.flush()

    def fileno(self) -> int:
        """The descriptor below."""
        return self._target.fileno()

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def finish(self) -> None:
        """Note a last line without an end."""
        if self._rest:
            self._recorder.line(self._stream, self._rest)
