"""The runner's process from its first line to its last.

It speaks to the daemon over one socket, creates the job's MLflow run while the daemon
still fetches the plan, runs the job, and says how it ended. It never decides a job's
fate: that is the daemon's, whatever becomes of this process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from _thread import allocate_lock
from dataclasses import dataclass
from functools import partial
from os import _exit  # as it was before user code could replace it
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dioptra_worker.common.network.backoff import retry_until_available
from dioptra_worker.common.processes.job_objects import JobObjects
from dioptra_worker.common.processes.resource_trackers import kill_group
from dioptra_worker.engine.wording import format_exception, safe_str
from dioptra_worker.errors import RunnerError, WorkerError
from dioptra_worker.homes import link_downloads
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.job_variables import JOB_VARIABLE
from dioptra_worker.protocol.messages import (
    EXIT_DISCONNECTED,
    MAX_IMPORTS,
    NO_JOB,
    DirectMetric,
    ModuleImported,
    PlanTaken,
    RunnerResult,
    RunStarted,
    Start,
    VariableTooLate,
)
from dioptra_worker.provenance.run_tags import SEED
from dioptra_worker.runner.channel import Channel, move_to_high_descriptor
from dioptra_worker.runner.exit_handlers import (
    begin_handlers,
    end_children_here,
    run_exit_handlers,
)
from dioptra_worker.runner.facts import facts_at_end, facts_at_start
from dioptra_worker.runner.forked_children import prepare_children
from dioptra_worker.runner.import_times import ImportTimes
from dioptra_worker.runner.job import JobFailed, plugin_folders, run_job
from dioptra_worker.runner.job_context import job_context
from dioptra_worker.runner.late_variables import tell_of_late_variables, words
from dioptra_worker.runner.learned import modules as learned_modules
from dioptra_worker.runner.outage_messages import outage_callbacks
from dioptra_worker.runner.stop import JobStopped, StopSignal
from dioptra_worker.runner.withheld_variables import tell_of_withheld
from dioptra_worker.sdk import output_capture
from dioptra_worker.sdk.tracebacks import plugin_traceback
from dioptra_worker.sdk.worker import bridge as sdk_bridge
from dioptra_worker.sdk.worker.channel_bridge import ChannelBridge
from dioptra_worker.sdk.worker.spawned_children import announce
from dioptra_worker.tracking.backend import backend
from dioptra_worker.tracking.upload_retry import RetryingStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.protocol.messages import Ending
    from dioptra_worker.protocol.run_rules import RunStatus
    from dioptra_worker.tracking.base import Tracking

log = logging.getLogger("dioptra_worker.runner")

MLFLOW_TIMEOUT = 24 * 3600.0
"""Seconds that a runner waits for MLflow; the daemon's set-up deadline is shorter."""

_MAX_AHEAD = 1 << 16
"""Bytes of the first message that are looked at together."""


def main(sock: socket.socket, *, seed: int) -> NoReturn:
    """Run one job and end the process.

    The process ends without Python's clean-up at exit, which user code could hang; see
    `exit_handlers`.

    Args:
        sock: The socket to the daemon, whose first message is `Start`.
        seed: What the random generators of this process were seeded with.
    """
    faulthandler.enable(file=2)
    start = _receive_start(sock)
    channel = Channel(
        move_to_high_descriptor(sock),
        on_disconnect=lambda: _end_with_daemon(start.grace),
        on_socket_closed=lambda: _exit(EXIT_DISCONNECTED),
        address=start.address,
    )
    output_capture.capture(channel.send, level=start.log_level)
    stop = StopSignal()
    stop.install()
    # Ctrl-C is the daemon's. Ignored by a function, not by the system: what a task
    # starts would inherit that.
    signal.signal(signal.SIGINT, lambda *_: None)
    prepare_children()
    del sys.argv[1:]  # the fork server's arguments, which are no plugin's
    os.environ[JOB_VARIABLE] = str(start.job_id)
    announce(os.environ, address=start.address, log_level=start.log_level)
    if Path(start.temporary).is_dir():
        os.environ["TMPDIR"] = start.temporary
        tempfile.tempdir = None  # the fork server may have looked for it
    if start.api_url:
        os.environ["DIOPTRA_API"] = start.api_url
    os.chdir(start.directory)
    os.environ["HOME"] = start.directory  # what is left there is no other job's
    link_downloads(Path(start.directory), os.environ)
    bridge = ChannelBridge(channel, job_id=start.job_id)
    sdk_bridge.install(bridge)
    tell_of_withheld(start.job_id)
    tell_of_late_variables()
    begin_handlers()
    objects = JobObjects()
    tracking = backend(start.folder)
    times = ImportTimes()
    with end_children_here():
        ended = _run(
            start,
            channel,
            bridge,
            tracking=tracking,
            seed=seed,
            stop=stop,
            times=times,
        )
    stop.ignore()  # the result is not interrupted
    finishing = allocate_lock()  # as it was before user code

    def finish() -> None:
        finishing.acquire()  # for ever: of two that come here, one ends the process
        _finish(ended, tracking, channel, times)

    run_exit_handlers(join_threads=ended.ending != "stopped", too_late=finish)
    _remove_shared_memory(objects)
    finish()
    _exit(1)  # never reached, but no plugin's code runs on after a job


def _remove_shared_memory(objects: JobObjects) -> None:
    """Remove what nobody keeps account of, while it can be seen that we have it."""
    with contextlib.suppress(OSError):
        session = os.getsid(0)
        objects.look(session)
        if removed := objects.remove(session=session):
            log.warning("removed what the job left in shared memory: %s", removed)


@dataclass(frozen=True)
class _Ended:
    """How a job ended, and which run is to be told."""

    ending: Ending
    reason: str = ""
    run_id: str | None = None


def _finish(
    ended: _Ended, tracking: Tracking, channel: Channel, times: ImportTimes
) -> NoReturn:
    """Close the run, say how the job ended, and end the process."""
    closed = False
    if ended.ending != "stopped":
        status: RunStatus = "FINISHED" if ended.ending == "finished" else "FAILED"
        closed = _try_close(tracking, ended.run_id, status)
    output_capture.flush()
    with contextlib.suppress(BaseException):  # a plugin's own handler
        logging.shutdown()
    for imported in times.slowest():
        channel.send(imported)
    with contextlib.suppress(BaseException):  # it is the job's word, for what it is
        for fact in facts_at_end():
            channel.send(fact)
        for name, points in tracking.direct_points().items():
            channel.send(DirectMetric(name=name, points=points))
    for saved in _saved():
        channel.send(saved)
    channel.send(
        RunnerResult(ending=ended.ending, reason=ended.reason, run_closed=closed)
    )
    _exit(0)


def _run(
    start: Start,
    channel: Channel,
    bridge: ChannelBridge,
    *,
    tracking: Tracking,
    seed: int,
    stop: StopSignal,
    times: ImportTimes,
) -> _Ended:
    """Run the job; whatever user code does short of ending the process ends here."""
    run_id = None
    folders: list[Path] = []
    try:
        run_id, uri = retry_until_available(
            lambda: tracking.start(start.job_id, start.token, again=start.again),
            seconds=MLFLOW_TIMEOUT,
            **outage_callbacks("MLflow", channel.send),
        )
        channel.send(RunStarted(run_id=run_id, artifact_uri=uri))
        for fact in facts_at_start(seed):
            channel.send(fact)
        if start.job_id == NO_JOB:  # with a server, the API passes metrics on
            bridge.store_metric = partial(_log_metric, tracking, run_id)
        plan = channel.plan()
        channel.send(PlanTaken())  # before anything of a plugin's is imported
        folders = plugin_folders(plan)
        _begin_learned(seed, channel)
        times.begin([Path(start.directory), *folders])
        bridge.context = job_context(plan)
        run_job(
            plan,
            run_id=run_id,
            store=RetryingStore(
                tracking.store(uri),
                **outage_callbacks("the artifact store", channel.send),
            ),
            describe=partial(_describe, tracking, seed),
            send=channel.send,
            check=stop.check,
        )
    except JobStopped:
        return _Ended("stopped")
    except JobFailed as error:
        reason = safe_str(error)
    except SystemExit as error:
        reason = f"the job called sys.exit({safe_str(error, _exit_code)})"
        log.error("%s, which ends no job well: return from the task instead", reason)
    except WorkerError as error:
        reason = safe_str(error)
        log.error("%s", error)
    except Exception as error:  # a fault of ours: its traceback is whole
        reason = format_exception(error)
        log.exception("the job failed")
    except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt, and its like
        reason = format_exception(error)
        log.error("%s\n%s", reason, plugin_traceback(error, folders))
    else:
        return _Ended("finished", run_id=run_id)
    return _Ended("failed", reason, run_id)


def _begin_learned(seed: int, channel: Channel) -> None:
    """Let the job have what was imported beforehand, if anything was."""
    if (learned := learned_modules.kept()) is None:
        return

    def too_late(name: str, modules: list[str]) -> None:
        packages = {module.partition(".")[0] for module in modules}
        log.warning("%s", words(name, sorted(packages)))
        channel.send(VariableTooLate(name=name))

    learned.begin(seed=seed, too_late=too_late)


def _saved() -> list[ModuleImported]:
    """What the job did not have to wait for."""
    learned = learned_modules.kept()
    used = [] if learned is None else learned.used
    return [
        ModuleImported(module=group.name, seconds=group.seconds, saved=True)
        for group in used
        if group.seconds
    ][:MAX_IMPORTS]


def _exit_code(error: SystemExit) -> str:
    return safe_str(error.code, repr)


def _describe(
    tracking: Tracking,
    seed: int,
    run_id: str,
    *,
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> None:
    """Describe the run, and write down what its random numbers came from."""
    tags = {**tags, SEED: str(seed)}
    tracking.describe(run_id, name=name, params=params, tags=tags)


def _log_metric(
    tracking: Tracking, run_id: str, name: str, value: float, step: int
) -> None:
    """Write a metric into the run; what fails is only logged."""
    try:
        tracking.log_metric(run_id, name, value, step)
    except (WorkerError, OSError) as error:
        log.warning("metric %r is not in the run: %s", name, error)


def _try_close(tracking: Tracking, run_id: str | None, status: RunStatus) -> bool:
    """Close the MLflow run; whether that is done with."""
    if run_id is None:
        return True
    try:
        tracking.close(run_id, status)
    except WorkerError as error:
        log.warning("the MLflow run is not closed yet: %s", error)
        return False
    except BaseException as error:  # noqa: BLE001 - a stop, or what a plugin broke
        log.debug(
            "the MLflow run is closed from elsewhere: %s", format_exception(error)
        )
        return False
    return True


def _receive_start(sock: socket.socket) -> Start:
    """Read the first message, and nothing of what may follow it."""
    line = b""
    while not line.endswith(b"\n"):
        ahead = sock.recv(_MAX_AHEAD, socket.MSG_PEEK)
        if not ahead:
            _exit(0)  # a standby that was never needed
        line += sock.recv(ahead.find(b"\n") + 1 or len(ahead))
    message = codec.decode(line)
    if not isinstance(message, Start):
        raise RunnerError(f"the first message must be Start, not {message!r}")
    return message


def _end_with_daemon(grace: float) -> None:
    """Do not outlive the daemon by more than the grace period."""
    os.kill(os.getpid(), signal.SIGTERM)  # the main thread raises `JobStopped`
    time.sleep(grace)
    kill_group(os.getpgrp())  # this process and what it started in its group
