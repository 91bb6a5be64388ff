"""What a soak would call wrong, and how it says how long a job took after a fault."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.plugins.testbed import LogLine, Platform
from tests.soak import checks, settling
from tests.soak.faults import Fault
from tests.soak.seats import LEASE_TTL, Mention, Seat
from tests.soak.workload import Attempt, Job

if TYPE_CHECKING:
    from pathlib import Path

MARK = 4711
GOOD = [f"line {number} of {MARK}" for number in range(3)]
ENDS = {"failing": "the job failed: it is meant to fail", "hello": "the job finished"}


def _job(kind: str = "failing", **more: Any) -> Job:
    status = "finished" if kind == "hello" else "failed"
    attempt = Attempt(MARK, pid=1, seat=1, began=11.0, alone=True)
    values = {
        "submitted": 10.0,
        "status": status,
        "ended": 20.0,
        "attempts": [attempt],
        **more,
    }
    return Job(7, kind, 3, **values)


def _problems(job: Job, lines: list[str], folder: Path) -> list[str]:
    log = [LogLine("INFO", "stdout", text, "") for text in lines]
    shown = SimpleNamespace(log=lambda _: log, job=lambda _: {"artifacts": []})
    return checks.problems(job, cast("Platform", shown), folder)


def test_a_job_that_is_right(tmp_path: Path) -> None:
    """A log with each line once, and the end that is meant, is no problem."""
    assert _problems(_job(), [*GOOD, ENDS["failing"]], tmp_path) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([*GOOD[:2], GOOD[1], GOOD[2], ENDS["failing"]], "has lines twice: [1]"),
        ([GOOD[0], GOOD[2], ENDS["failing"]], "lacks lines between others"),
        ([GOOD[1], GOOD[0], GOOD[2], ENDS["failing"]], "has lines in disorder"),
        ([*GOOD[:2], ENDS["failing"]], "and not all 3 of its last attempt"),
        ([*GOOD, ENDS["failing"], ENDS["failing"]], "ended 2 times by its log"),
        ([*GOOD], "ended 0 times by its log"),
        ([*GOOD[:2], ENDS["failing"], GOOD[2]], "says more after its end"),
        ([*GOOD, "the job failed: another reason"], "failed: 'the job failed: anoth"),
        ([*GOOD, "the job failed: killed by SIGKILL"], "failed: 'the job failed: kil"),
    ],
)
def test_a_log_that_is_wrong(lines: list[str], words: str, tmp_path: Path) -> None:
    """Lines that came twice, in disorder or not at all, and other ends are found."""
    assert any(words in found for found in _problems(_job(), lines, tmp_path))


def test_what_the_soak_has_killed(tmp_path: Path) -> None:
    """A job whose process was killed may fail for that, and may lack its last lines."""
    job = _job(hits=["a runner is killed"])
    lines = [*GOOD[:1], "the job failed: its process was killed by SIGKILL"]
    assert _problems(job, lines, tmp_path) == []


def test_results_that_are_missing(tmp_path: Path) -> None:
    """A job that finished, and has no artifacts, is a problem."""
    [found] = _problems(_job("hello"), [*GOOD, ENDS["hello"]], tmp_path)
    assert "has the artifacts []" in found


def _seat(number: int, **mentions: tuple[float, float]) -> Seat:
    spoken = {int(name[1:]): Mention(*times) for name, times in mentions.items()}
    return cast("Seat", SimpleNamespace(number=number, mentions=spoken))


def _fault(began: float, ended: float, **more: Any) -> Fault:
    return Fault("a fault", frozenset({1}), began, ended, **more)


def test_the_last_fault_counts() -> None:
    """From its end to the final status; faults of others, and later ones, do not."""
    seats = [_seat(1, j7=(10.5, 20.5)), _seat(2)]
    other = Fault("elsewhere", frozenset({2}), 15.0, 19.0)
    faults = [_fault(11, 12), _fault(13, 14), other, _fault(21, 22)]
    [found] = settling.settled([_job()], faults, seats)
    assert found.seconds == 6.0
    assert settling.slow([found], usual=0.0) == []


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (_fault(1, 2), settling.UNEXPLAINED),
        (_fault(1, 2, allowance=LEASE_TTL, because="a lease"), "a lease"),
        (_fault(-5, -4, allowance=LEASE_TTL, because="a lease"), settling.UNEXPLAINED),
    ],
)
def test_why_it_took_long(fault: Fault, why: str) -> None:
    """A lease that has to run out explains its own time, and no more."""
    job = _job(submitted=-6.0)
    job.attempts[-1].began = 19.0
    [found] = settling.settled([job], [fault], [_seat(1, j7=(-5.5, 20.5))])
    assert [row["why"] for row in settling.slow([found], usual=5.0)] == [why]
    [row] = settling.slow([found], usual=30.0)
    assert row["why"] == (settling.SLOW_MACHINE if why == settling.UNEXPLAINED else why)
