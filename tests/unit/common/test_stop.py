"""Whether a job, or the worker, is to stop: asked by some, heeded by all that waits."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest
from tests.plugins.until import until

from dioptra_worker.common.stop import (
    BOOKS_TIMEOUT,
    JOB_DELETED,
    LAST_WORDS_TIMEOUT,
    LEASE_LOST,
    JobStop,
    Stopped,
    StopRequest,
    StopRequests,
    lease_clock,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHUTDOWN = StopRequest("shutdown", "the worker was shut down")
REQUESTED = StopRequest("requested", "stopped by request")
LONG = 60.0


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """How late it is."""
        return self.now


def test_the_first_reason_counts_and_a_later_one_may_be_quicker() -> None:
    """Who asked first is who stopped it, but nobody waits for longer than asked."""
    stop = JobStop()
    stop.request(REQUESTED)
    stop.request(StopRequest("shutdown", "later", kill=True))
    assert stop.requested == StopRequest("requested", "stopped by request", kill=True)
    assert stop.gone is None


def test_that_a_job_is_lost_counts_in_any_case() -> None:
    """A job that was stopped for another reason first may still be another's."""
    stop = JobStop()
    stop.request(REQUESTED)
    stop.request(JOB_DELETED)
    assert stop.requested == REQUESTED
    assert stop.gone == JOB_DELETED


@pytest.mark.parametrize("reason", [REQUESTED, JOB_DELETED])
def test_only_a_shutdown_limits_what_is_delivered(reason: StopRequest) -> None:
    """The end of a job that was stopped takes as long as its services need."""
    stop = JobStop()
    stop.request(reason)
    assert stop.time_left is None
    assert stop.within(3.0) == 3.0


def test_time_left_of_a_job_that_has_not_begun() -> None:
    """Without a runner there is nothing to wait for but services."""
    clock = Clock()
    stop = JobStop(clock=clock)
    stop.request(SHUTDOWN)
    assert stop.time_left == LAST_WORDS_TIMEOUT
    clock.now += LAST_WORDS_TIMEOUT / 2
    stop.request(SHUTDOWN)  # asking again gives it no more
    assert stop.time_left == LAST_WORDS_TIMEOUT / 2
    assert stop.within(LAST_WORDS_TIMEOUT / 4) == LAST_WORDS_TIMEOUT / 4
    clock.now += LONG
    assert stop.time_left == 0.0


def test_a_runner_has_its_grace() -> None:
    """The time that is left begins when the runner has ended, or with the shutdown."""
    clock = Clock()
    stop = JobStop(clock=clock)
    with stop.running():
        stop.request(SHUTDOWN)
        clock.now += LONG
        assert stop.time_left is None
    assert stop.time_left == LAST_WORDS_TIMEOUT
    later = JobStop(clock=clock)
    with later.running():
        clock.now += LONG
    assert later.time_left is None
    clock.now += LONG
    later.request(SHUTDOWN)
    assert later.time_left == LAST_WORDS_TIMEOUT


def _hang() -> None:
    threading.Event().wait(LONG)


@pytest.mark.parametrize(
    "wait",
    [
        lambda stop: stop.pause(LONG),
        lambda stop: stop.call(_hang),
        lambda stop: stop.result(Future()),
        lambda stop: stop.sleep(LONG),
    ],
)
def test_no_wait_is_longer_than_there_is_time(wait: Callable[[JobStop], None]) -> None:
    """Whatever waits ends with the time, also what hangs in a service."""
    stop = JobStop(last_words_timeout=0.1)
    threading.Timer(0.05, stop.request, [SHUTDOWN]).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        wait(stop)
    assert time.monotonic() - began < LONG / 2


def test_what_nobody_needs_takes_little_of_the_last_words() -> None:
    """A courtesy leaves nine tenths of the time to what must be said."""
    clock = Clock()
    stop = JobStop(clock=clock)
    assert stop.spare(LONG) == LONG
    stop.request(SHUTDOWN)
    assert stop.spare(LONG) == LAST_WORDS_TIMEOUT / 10
    assert stop.spare(LAST_WORDS_TIMEOUT / 100) == LAST_WORDS_TIMEOUT / 100
    clock.now += LAST_WORDS_TIMEOUT
    assert stop.spare(LONG) == 0.0


def test_books_are_kept_when_nothing_else_has_time() -> None:
    """What the API could not be told in time is still noted for who tells it."""
    clock = Clock()
    stop = JobStop(clock=clock)
    stop.request(SHUTDOWN)
    clock.now += LAST_WORDS_TIMEOUT
    with pytest.raises(Stopped):
        stop.call(_hang)
    assert stop.call(lambda: 7, beyond=BOOKS_TIMEOUT) == 7
    clock.now += BOOKS_TIMEOUT
    with pytest.raises(Stopped):
        stop.call(_hang, beyond=BOOKS_TIMEOUT)


def test_what_comes_in_time_is_had() -> None:
    """A call's answer and its error are the caller's, as if it had called itself."""
    stop = JobStop()
    stop.request(SHUTDOWN)
    assert stop.call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        stop.call(lambda: 1 // 0)
    stop.pause(0.01)


@pytest.mark.parametrize("reason", [REQUESTED, SHUTDOWN, JOB_DELETED, None])
def test_who_prepares_a_job_sleeps_no_longer_than_it_is_wanted(
    reason: StopRequest | None,
) -> None:
    """A stop, and the end of the job, break off what is fetched for it."""
    stop = JobStop()
    stop.sleep(0.001)
    if reason is None:
        stop.end()
    else:
        stop.request(reason)
    with pytest.raises(Stopped):
        stop.sleep(LONG)


def test_who_has_a_lock_of_its_own_is_woken() -> None:
    """Whoever waits by other means is told of each change, until it waits no more."""
    stop = JobStop()
    woken: list[None] = []
    with stop.waking(lambda: woken.append(None)):
        stop.request(REQUESTED)
    stop.request(JOB_DELETED)
    assert len(woken) == 1


def test_only_the_job_that_is_handled_is_stopped() -> None:
    """A command for another job, or for none, stops nobody."""
    stops = StopRequests()
    assert not stops.stop_job("7")
    stops.kill_job()
    with stops.handling() as job:
        stops.job_id = 7
        assert not stops.stop_job("8")
        assert job.requested is None
        assert stops.stop_job("7")
        assert job.requested == REQUESTED
        stops.kill_job()
        assert job.requested is not None
        assert job.requested.kill
    assert not stops.stop_job("7")


def test_shutdowns_are_counted() -> None:
    """How often it was asked says how quickly; each wakes the main loop."""
    stops = StopRequests()
    for _ in range(3):
        threading.Thread(target=stops.shut_down).start()
    until(lambda: stops.events.qsize() == 3)
    assert stops.shutdowns == 3


# -- the lease ---------------------------------------------------------------------


def test_a_lease_that_is_renewed() -> None:
    """A job is ours as long as its lease is renewed in time."""
    stop = JobStop()
    assert stop.lease_left == math.inf
    for _ in range(3):
        stop.own_until(lease_clock() + 60)
        assert stop.superseded is None
        assert stop.gone is None
        assert 50 < stop.lease_left <= 60


def test_a_lease_that_is_lost() -> None:
    """It stays lost, although Redis may take a renewal that comes too late."""
    stop = JobStop()
    stop.own_until(lease_clock() - 0.001)
    assert stop.superseded == LEASE_LOST
    stop.own_until(lease_clock() + 60)
    assert stop.superseded == LEASE_LOST
    assert stop.gone == LEASE_LOST
    assert stop.lease_left == 0
