"""A set-up has its deadline, and what arrives puts it off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dioptra_worker.daemon.staging.setup_deadline import SetupDeadline

if TYPE_CHECKING:
    from dioptra_worker.supervision.termination import StopRequest


class Guard:
    """Notes what deadline it is to hold; and the time, which tests move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.held: list[tuple[float, StopRequest]] = []

    def __call__(self, seconds: float, stop: StopRequest) -> None:
        """Hold this deadline."""
        self.held.append((self.now + seconds, stop))

    @property
    def until(self) -> float:
        """When it would end the job, counted from the beginning."""
        return self.held[-1][0] - 1000.0

    @property
    def reason(self) -> str:
        """What it would say then."""
        return self.held[-1][1].reason


@pytest.fixture(name="guard")
def _guard() -> Guard:
    return Guard()


@pytest.fixture(name="limit")
def _limit(guard: Guard) -> SetupDeadline:
    return SetupDeadline(300.0, clock=lambda: guard.now)


def test_without_inputs_it_is_the_deadline(guard: Guard, limit: SetupDeadline) -> None:
    """What was counted before somebody holds it counts, too."""
    guard.now += 10.0
    limit.hold(guard)
    assert guard.until == 300.0
    assert guard.held[-1][1].kind == "setup"
    assert "within 5 min (DIOPTRA_WORKER_SETUP_DEADLINE)" in guard.reason
    assert "waiting" not in guard.reason


def test_what_arrives_puts_it_off(guard: Guard, limit: SetupDeadline) -> None:
    """As long as something arrives there is as much time again, and no less."""
    limit.hold(guard)
    for seconds in (100.0, 250.0, 1000.0):
        guard.now = 1000.0 + seconds
        limit.put_off()
        assert guard.until == 300.0 + seconds


def test_what_is_known_to_take_long(guard: Guard, limit: SetupDeadline) -> None:
    """Time that is granted beforehand holds, also against what arrives meanwhile."""
    limit.put_off(500.0)
    limit.hold(guard)
    assert guard.until == 800.0
    guard.now += 100.0
    limit.put_off()
    assert guard.until == 800.0


def test_the_guard_is_not_told_for_every_byte(
    guard: Guard, limit: SetupDeadline
) -> None:
    """A deadline that hardly moves is left alone."""
    limit.hold(guard)
    for _ in range(100):
        guard.now += 0.001
        limit.put_off()
    assert len(guard.held) == 1


def test_what_it_waits_for_is_said(guard: Guard, limit: SetupDeadline) -> None:
    """The reason names what has not come, and nothing that has."""
    limit.hold(guard)
    with limit.awaiting("input artifact 'a'"):
        with limit.awaiting("input artifact 'b'"):
            assert "input artifact 'a', input artifact 'b'" in guard.reason
        assert "waiting for input artifact 'a', of which" in guard.reason
    assert "artifact" not in guard.reason
