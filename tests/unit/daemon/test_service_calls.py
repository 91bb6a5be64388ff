"""What speaks Redis is called until Redis answers, unless the worker shuts down."""

from __future__ import annotations

import pytest

from dioptra_worker.common.stop import JobStop, Stopped, StopRequest
from dioptra_worker.daemon.health.snapshot import REDIS
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.daemon.service_calls import RedisRetries
from dioptra_worker.errors import ServiceUnavailable


class Counter:
    """Counts, after it was away for some calls."""

    name = "counter"

    def __init__(self, away: int) -> None:
        self.away = away
        self.calls = 0

    def add(self, one: int, *, other: int) -> int:
        """Add two numbers."""
        self.calls += 1
        if self.calls <= self.away:
            raise ServiceUnavailable("it is away", service=REDIS)
        if one < 0:
            raise ValueError("negative")
        return one + other


def test_a_method_is_called_until_it_works() -> None:
    """Its answer is the caller's, and health knows that Redis answers."""
    counter, health = Counter(away=2), HealthState()
    retried = RedisRetries(health).wrap(counter, JobStop())
    assert retried.add(1, other=2) == 3
    assert counter.calls == 3
    assert health.snapshot().waiting_for == ()
    assert retried.name == "counter"


def test_only_an_outage_is_tried_again() -> None:
    """Whatever else a method raises goes to the caller at once."""
    counter = Counter(away=0)
    retried = RedisRetries(HealthState()).wrap(counter, JobStop())
    with pytest.raises(ValueError, match="negative"):
        retried.add(-1, other=2)
    assert counter.calls == 1


def test_a_worker_that_shuts_down_gives_up() -> None:
    """It goes on as long as there is time for it."""
    counter, health = Counter(away=99), HealthState()
    stop = JobStop(last_words_timeout=0.2)
    stop.request(StopRequest("shutdown", "the worker was shut down"))
    with pytest.raises(Stopped):
        RedisRetries(health).wrap(counter, stop).add(1, other=2)
    assert counter.calls > 1
    assert health.snapshot().waiting_for == (REDIS,)
