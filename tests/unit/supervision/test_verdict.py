"""However a runner ends, its job's fate is decided, and the words say why."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from dioptra_worker.common.stop import StopKind, StopRequest
from dioptra_worker.protocol.messages import Ending, RunnerResult
from dioptra_worker.supervision.forkserver.runner_process import ProcessExit
from dioptra_worker.supervision.termination import RunnerReport
from dioptra_worker.supervision.verdict import judge

GIB = 1 << 30


def _ended(ending: Ending, reason: str = "") -> RunnerResult:
    return RunnerResult(ending=ending, reason=reason, run_closed=True)


def _report(
    code: int | None = 0, *, peak: int | None = None, **seen: Any
) -> RunnerReport:
    usual = {
        "result": None,
        "stop": None,
        "killed": False,
        "step": None,
        "seconds": 192,
    }
    return RunnerReport(exit=ProcessExit(code=code, peak=peak), **{**usual, **seen})


def test_a_finished_job_finished() -> None:
    """A runner that says so has finished its job, and there is nothing to explain."""
    verdict = judge(_report(result=_ended("finished")))
    assert (verdict.fate, verdict.reason, verdict.mlflow) == (
        ("finished", "", "FINISHED")
    )


@pytest.mark.parametrize("kind", ["timeout", "requested", "shutdown", "gone", "setup"])
def test_a_job_that_finished_in_time_has_finished(kind: StopKind) -> None:
    """A job that finishes while it is told to stop has finished, even if killed."""
    stop = StopRequest(kind, "why")
    report = _report(-9, result=_ended("finished"), stop=stop, killed=True)
    assert judge(report).fate == "finished"


def test_a_failed_job_has_the_runners_reason() -> None:
    """When the runner tells why the job failed, those are the words."""
    verdict = judge(_report(result=_ended("failed", "step 'a' broke"), step="a"))
    assert (verdict.fate, verdict.reason, verdict.mlflow) == (
        ("failed", "step 'a' broke", "FAILED")
    )


@pytest.mark.parametrize(
    ("kind", "fate", "mlflow"),
    [
        ("timeout", "failed", "FAILED"),
        ("setup", "failed", "FAILED"),
        ("requested", "stopped", "KILLED"),
        ("shutdown", "given back", "KILLED"),
        ("gone", "dropped", "KILLED"),
    ],
)
@pytest.mark.parametrize("ended", [None, _ended("stopped"), _ended("failed", "x")])
def test_why_it_was_stopped_decides(
    kind: StopKind, fate: str, mlflow: str, ended: RunnerResult | None
) -> None:
    """The fate of a stopped job follows from why, whatever its runner said of it."""
    stop = StopRequest(kind, "timed out after 5 s")
    verdict = judge(_report(-15, stop=stop, result=ended, step="train"))
    assert (verdict.fate, verdict.mlflow) == (fate, mlflow)
    assert verdict.reason == "timed out after 5 s, in step 'train'"


def test_a_job_that_had_to_be_killed_says_so() -> None:
    """When stopping took a kill, the words tell."""
    verdict = judge(_report(-9, stop=StopRequest("timeout", "timed out"), killed=True))
    assert verdict.reason == "timed out; it did not stop by itself and was killed"
    stop = StopRequest("setup", "the job could not be prepared", kill=True)
    verdict = judge(_report(-9, stop=stop, killed=True))
    assert verdict.reason == "the job could not be prepared"


@pytest.mark.parametrize(
    ("code", "peak", "step", "words"),
    [
        (
            -signal.SIGKILL,
            8 * GIB,
            "train",
            ("killed by SIGKILL in step 'train' after 3 min 12 s; peak memory 8 GiB"),
        ),
        (-signal.SIGSEGV, None, None, "killed by SIGSEGV after 3 min 12 s"),
        (-signal.SIGABRT, 0, "a", "killed by SIGABRT in step 'a' after 3 min 12 s"),
        (
            -(signal.SIGRTMIN + 1),
            None,
            None,
            f"killed by signal {signal.SIGRTMIN + 1} after 3 min 12 s",
        ),
        (None, None, "a", "the job's process was lost in step 'a' after 3 min 12 s"),
    ],
)
def test_words_for_a_runner_that_died(
    code: int | None, peak: int | None, step: str | None, words: str
) -> None:
    """A runner that died failed its job; signal, step, time and memory are named."""
    verdict = judge(_report(code, peak=peak, step=step))
    assert (verdict.fate, verdict.reason, verdict.mlflow) == ("failed", words, "FAILED")


@pytest.mark.parametrize(
    ("code", "evidence", "words"),
    [
        (-signal.SIGKILL, True, "8 GiB of 9 GiB: very likely out of memory"),
        (-signal.SIGKILL, False, "8 GiB of 9 GiB"),
        (-signal.SIGABRT, True, "8 GiB of 9 GiB"),
    ],
)
def test_out_of_memory_is_said_on_evidence(
    code: int, evidence: bool, words: str
) -> None:
    """Only a kill with evidence that memory ran out is called that."""
    report = _report(code, peak=8 * GIB, out_of_memory=evidence, memory_limit=9 * GIB)
    assert judge(report).reason.endswith(f"peak memory {words}")


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_a_runner_without_a_last_word_failed_its_job(code: int) -> None:
    """A runner that just ended, with whichever code, has not finished its job."""
    verdict = judge(_report(code, step="a"))
    assert verdict.fate == "failed"
    assert f"exit code {code} in step 'a'" in verdict.reason
    assert "os._exit" in verdict.reason


def test_a_job_that_hung_up_says_so() -> None:
    """A runner that closed its connection is named as that, however it ended."""
    for report in (
        _report(113, step="train"),
        _report(-9, step="train", disconnected=True, killed=True),
    ):
        verdict = judge(report)
        assert (verdict.fate, verdict.mlflow) == ("failed", "FAILED")
        assert verdict.reason.startswith(
            "the job closed its connection to the worker in step 'train' after"
        )


def test_a_runner_that_died_has_not_hung_up() -> None:
    """The socket of a runner that dies is closed too; its death is the cause."""
    verdict = judge(_report(-11, step="train", disconnected=True))
    assert verdict.reason.startswith("killed by SIGSEGV in step 'train'")
    report = _report(-9, disconnected=True, killed=True, out_of_memory=True)
    assert judge(report).reason.endswith("very likely out of memory")


def test_a_runner_that_could_not_be_ended_is_told() -> None:
    """When not even SIGKILL ended it, the words say that it is still there."""
    stop = StopRequest("timeout", "timed out")
    verdict = judge(_report(None, stop=stop, killed=True, abandoned=True))
    assert verdict.reason.startswith("timed out; its process could not be ended")
    assert verdict.fate == "failed"


def test_an_end_before_the_first_step_says_so() -> None:
    """A crash while plugins are imported is told as that."""
    verdict = judge(_report(-11, reached_steps=False))
    assert "killed by SIGSEGV while the job was prepared after" in verdict.reason
