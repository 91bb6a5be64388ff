"""From what the supervisor saw to a job's fate: its status and the words for it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from dioptra_worker.common.outcome import Outcome
from dioptra_worker.common.text.humanize import duration, signal_name, size
from dioptra_worker.protocol.messages import EXIT_DISCONNECTED

if TYPE_CHECKING:
    from dioptra_worker.common.stop import StopRequest
    from dioptra_worker.supervision.termination import RunnerReport


_ABANDONED = (
    "; its process could not be ended, not even by SIGKILL, and is left behind: the"
    " system holds it, as when a disk or a device does not answer"
)


def judge(report: RunnerReport) -> Outcome:
    """Decide a job's fate.

    Args:
        report: What the supervisor saw of the job's runner.

    Returns:
        The verdict. A job that had finished when it was told to stop has finished,
        unless it was for what it did to the worker.
    """
    result = report.result
    if report.stop is not None and report.stop.kind == "limit":
        return _stopped(report, report.stop)
    if result is not None and result.ending == "finished":
        return Outcome(fate="finished", reason="", mlflow="FINISHED")
    if report.stop is not None:
        return _stopped(report, report.stop)
    if result is not None and result.ending == "failed":
        named = report.step is None or repr(report.step) in result.reason
        reason = result.reason if named else f"{result.reason}, in step {report.step!r}"
        return Outcome(fate="failed", reason=reason, mlflow="FAILED")
    if result is not None and result.ending == "stopped":
        where = f" in step {report.step!r}" if report.step else ""
        reason = f"stopped by a SIGTERM{where} that the worker did not send"
        return Outcome(fate="failed", reason=reason, mlflow="FAILED")
    return Outcome(fate="failed", reason=_cause(report), mlflow="FAILED")


def _stopped(report: RunnerReport, stop: StopRequest) -> Outcome:
    where = f", in step {report.step!r}" if report.step else ""
    killed = ""
    if report.abandoned:
        killed = _ABANDONED
    elif report.killed and not stop.kill:
        killed = "; it did not stop by itself and was killed"
    words = f"{stop.reason}{where}{killed}"
    match stop.kind:
        case "shutdown" | "trouble":
            return Outcome(fate="given back", reason=words, mlflow="KILLED")
        case "gone" | "superseded":
            return Outcome(fate="dropped", reason=words, mlflow="KILLED")
        case "requested":
            return Outcome(fate="stopped", reason=words, mlflow="KILLED")
        case "timeout" | "setup" | "limit":
            return Outcome(fate="failed", reason=words, mlflow="FAILED")


def _cause(report: RunnerReport) -> str:
    """Why a process ended without a result."""
    place = f" in step {report.step!r}" if report.step else ""
    if not report.reached_steps:
        place = " while the job was prepared"
    where = f"{place} after {duration(report.seconds)}"
    code = report.exit.code
    peak = report.exit.peak
    memory = f"; peak memory {size(peak)}" if peak else ""
    if memory and report.memory_limit:
        memory += f" of {size(report.memory_limit)}"
    out_of_memory = code == -signal.SIGKILL and report.out_of_memory
    disconnected = report.disconnected and report.killed and not out_of_memory
    if code == EXIT_DISCONNECTED or disconnected:
        left = _ABANDONED if report.abandoned else ""
        return (
            f"the job closed its connection to the worker{where}: a task must not close"
            f" descriptors that it has not opened{left}"
        )
    if code is None:
        return f"the job's process was lost{where}"
    if code < 0:
        hint = ": very likely out of memory" if out_of_memory else ""
        return f"killed by {signal_name(-code)}{where}{memory}{hint}"
    return (
        f"the job's process ended by itself with exit code {code}{where}{memory}: a"
        " task called os._exit or something like it"
    )
