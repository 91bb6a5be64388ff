"""Waiting for a service: patient, bounded, out of step with others."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.network.backoff import (
    FIRST_DELAY,
    MAX_DELAY,
    backoff,
    retry_until_available,
)
from dioptra_worker.errors import NotFound, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable


def _away(retry_after: float | None = None) -> ServiceUnavailable:
    return ServiceUnavailable("away", service="S", retry_after=retry_after)


def _failing(times: int, error: Exception) -> Callable[[], str]:
    """A call that fails some times and then answers."""
    errors = itertools.repeat(error, times)

    def call() -> str:
        for each in errors:
            raise each
        return "answer"

    return call


def test_delays_double_up_to_the_longest() -> None:
    """Each delay is between half and all of a step that doubles up to a cap."""
    step = FIRST_DELAY
    for delay in itertools.islice(backoff(), 20):
        assert step / 2 <= delay <= step <= MAX_DELAY
        step = min(step * 2, MAX_DELAY)
    assert step == MAX_DELAY


def test_delays_are_not_in_step() -> None:
    """Two that lost the same service do not come back at the same moments."""
    assert list(itertools.islice(backoff(), 5)) != list(itertools.islice(backoff(), 5))


def test_what_works_is_not_waited_for() -> None:
    """A call that works is made once and nobody sleeps."""
    slept: list[float] = []
    assert (
        retry_until_available(_failing(0, _away()), seconds=9, sleep=slept.append)
        == "answer"
    )
    assert slept == []


def test_a_service_that_comes_back_is_told_of_once() -> None:
    """However often a call is tried again, that it waits is told once."""
    slept: list[float] = []
    told: list[ServiceUnavailable] = []
    answer = retry_until_available(
        _failing(5, _away()), seconds=99, sleep=slept.append, on_wait=told.append
    )
    assert answer == "answer"
    assert len(slept) == 5
    assert len(told) == 1


def test_the_service_says_how_long_to_wait() -> None:
    """Where the service asks for a longer pause than ours, it gets it."""
    slept: list[float] = []
    retry_until_available(_failing(1, _away(7.0)), seconds=99, sleep=slept.append)
    assert slept == [7.0]


def test_a_refusal_is_not_tried_again() -> None:
    """Only a service that is away is asked again."""
    slept: list[float] = []
    with pytest.raises(NotFound):
        retry_until_available(
            _failing(1, NotFound("no", service="S")), seconds=9, sleep=slept.append
        )
    assert slept == []


def test_the_time_is_up() -> None:
    """When the time does not suffice for another pause, the last error is raised."""
    begun = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="away"):
        retry_until_available(_failing(99, _away()), seconds=0.3)
    assert time.monotonic() - begun < 10  # and not for ever


def test_whoever_sleeps_may_give_up() -> None:
    """What the sleeper raises goes to the caller, so that waiting can be ended."""

    def wake_up(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retry_until_available(_failing(99, _away()), seconds=99, sleep=wake_up)
