"""From what the supervisor saw to a job's fate: its status and the words for it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dioptra_worker.protocol.messages import CUT_OFF

if TYPE_CHECKING:
    from dioptra_worker.supervision.termination import Report, Stop

Fate = Literal["finished", "failed", "stopped", "given back", "left", "dropped"]
MlflowStatus = Literal["FINISHED", "FAILED", "KILLED"]

_LEFT = (
    "; its process could not be ended, not even by SIGKILL, and is left behind: the"
    " system holds it, as when a disk or a device does not answer"
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a job ended.

    Attributes:
        fate: What becomes of the job: ``stopped`` is failed by request, ``given back``
            goes to the queue again, ``left`` could not be and is for another worker's
            recovery to find, ``dropped`` is nobody's any more.
        reason: Why, in words; empty when it finished.
        mlflow: The final status of its MLflow run.
    """

    fate: Fate
    reason: str
    mlflow: MlflowStatus


def judge(report: Report) -> Verdict:
    """Decide a job's fate.

    Args:
        report: What the supervisor saw of the job's runner.

    Returns:
        The verdict. A job that had finished when it was told to stop has finished.
    """
    ended = report.ended
    if ended is not None and ended.ending == "finished":
        return Verdict(fate="finished", reason="", mlflow="FINISHED")
    if report.stop is not None:
        return _stopped(report, report.stop)
    if ended is not None and ended.ending == "failed":
        named = report.step is None or repr(report.step) in ended.reason
        reason = ended.reason if named else f"{ended.reason}, in step {report.step!r}"
        return Verdict(fate="failed", reason=reason, mlflow="FAILED")
    if ended is not None and ended.ending == "stopped":
        where = f" in step {report.step!r}" if report.step else ""
        reason = f"stopped by a SIGTERM{where} that the worker did not send"
        return Verdict(fate="failed", reason=reason, mlflow="FAILED")
    return Verdict(fate="failed", reason=_cause(report), mlflow="FAILED")


def _stopped(report: Report, stop: Stop) -> Verdict:
    where = f", in step {report.step!r}" if report.step else ""
    killed = ""
    if report.left:
        killed = _LEFT
    elif report.killed and not stop.at_once:
        killed = "; it did not stop by itself and was killed"
    words = f"{stop.reason}{where}{killed}"
    match stop.kind:
        case "shutdown":
            return Verdict(fate="given back", reason=words, mlflow="KILLED")
        case "gone":
            return Verdict(fate="dropped", reason=words, mlflow="KILLED")
        case "requested":
            return Verdict(fate="stopped", reason=words, mlflow="KILLED")
        case "timeout" | "setup":
            return Verdict(fate="failed", reason=words, mlflow="FAILED")


def _cause(report: Report) -> str:
    """Why a process ended without a last word."""
    place = f" in step {report.step!r}" if report.step else ""
    if not report.begun:
        place = " while the job was prepared"
    where = f"{place} after {duration(report.seconds)}"
    code = report.exit.code
    peak = report.exit.peak
    memory = f"; peak memory {size(peak)}" if peak else ""
    if memory and report.memory_limit:
        memory += f" of {size(report.memory_limit)}"
    out_of_memory = code == -signal.SIGKILL and report.out_of_memory
    hung_up = report.hung_up and report.killed and not out_of_memory
    if code == CUT_OFF or hung_up:
        left = _LEFT if report.left else ""
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


def duration(seconds: float) -> str:
    """Seconds for people, such as ``3 min 12 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def size(count: int) -> str:
    """Bytes for people, such as ``7.9 GiB``."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} GiB" if amount < 1000 else f"{amount:.0f} GiB"


def signal_name(number: int) -> str:
    """A signal for people, such as ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
