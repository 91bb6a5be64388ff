"""A set-up has its deadline, which what arrives extends; then the time limit begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dioptra_worker.supervision.time_limit import JobClock, SetupDeadline

if TYPE_CHECKING:
    from dioptra_worker.supervision.time_limit import Needed

BEGIN = 1000.0


class Guard:
    """Looks when a job would be stopped; and has the time, which tests move."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.setup = SetupDeadline(300.0, clock=lambda: self.now)
        self.clock = JobClock(self.setup, limit=60.0, clock=lambda: self.now)

    @property
    def until(self) -> float:
        """When it would be stopped, counted from the beginning."""
        assert self.clock.due_at is not None
        return self.clock.due_at - BEGIN

    @property
    def reason(self) -> str:
        """What it would say then."""
        return self.clock.stop_request.reason


@pytest.fixture(name="guard")
def _guard() -> Guard:
    return Guard()


def test_without_inputs_it_is_the_deadline(guard: Guard) -> None:
    """What was counted before somebody holds it counts, too."""
    guard.now += 10.0
    assert guard.until == 300.0
    assert guard.clock.stop_request.kind == "setup"
    assert "within 5 min (DIOPTRA_WORKER_SETUP_DEADLINE)" in guard.reason
    assert "waiting" not in guard.reason


def test_what_arrives_puts_it_off(guard: Guard) -> None:
    """As long as something arrives there is as much time again, and no less."""
    for seconds in (100.0, 250.0, 1000.0):
        guard.now = BEGIN + seconds
        guard.setup.extend()
        assert guard.until == 300.0 + seconds


def test_what_is_known_to_take_long(guard: Guard) -> None:
    """Time that is granted beforehand holds, also against what arrives meanwhile."""
    guard.setup.extend(500.0)
    assert guard.until == 800.0
    guard.now += 100.0
    guard.setup.extend()
    assert guard.until == 800.0


def test_what_it_waits_for_is_said(guard: Guard) -> None:
    """The reason names what has not come, and nothing that has."""
    with guard.setup.waiting_for("input artifact 'a'"):
        with guard.setup.waiting_for("input artifact 'b'"):
            assert "input artifact 'a', input artifact 'b'" in guard.reason
        assert "waiting for input artifact 'a', of which" in guard.reason
    assert "artifact" not in guard.reason


@pytest.mark.parametrize("parts", [["run", "plan"], ["plan", "run"]])
def test_the_time_limit(guard: Guard, parts: list[Needed]) -> None:
    """It begins once, when both are there, whatever the set-up had left."""
    guard.now += 100.0
    guard.clock.is_ready(parts[0])
    assert (guard.until, guard.clock.stop_request.kind) == (300.0, "setup")
    guard.now += 100.0
    guard.clock.is_ready(parts[1])
    assert (guard.until, guard.clock.stop_request.kind) == (260.0, "timeout")
    assert guard.reason == "timed out after its limit of 1 min"
    guard.now += 10.0
    guard.clock.is_ready("run")
    guard.setup.extend()
    assert guard.until == 260.0


def test_no_time_limit(guard: Guard) -> None:
    """A job without a limit has none once it is set up."""
    clock = JobClock(guard.setup, limit=None)
    clock.is_ready("run")
    clock.is_ready("plan")
    assert clock.due_at is None
