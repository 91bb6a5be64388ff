"""Waiting is said once, and so is its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dioptra_worker.common.network.backoff import retry_until_available
from dioptra_worker.common.network.outage_log import OutageLog
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    import pytest

AWAY = ServiceUnavailable("the API cannot be reached", service="Dioptra API")


def test_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many tries it takes, an outage has one line at each end."""
    caplog.set_level(logging.INFO)
    said: list[tuple[str, str]] = []
    outages = OutageLog(lambda severity, text: said.append((severity, text)))
    left = [AWAY] * 5

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    for _ in range(2):
        done = retry_until_available(
            call,
            seconds=60,
            sleep=lambda _: None,
            on_wait=outages.on_wait,
            on_back=outages.on_back,
        )
        assert done == "done"
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events == ["service-away", "service-back"]
    assert [severity for severity, _ in said] == ["WARNING", "INFO"]
    assert said[0][1] == "waiting: the API cannot be reached"
    assert said[1][1].startswith("Dioptra API is back after ")


def test_side_by_side(caplog: pytest.LogCaptureFixture) -> None:
    """Calls that wait for one service side by side are one outage."""
    caplog.set_level(logging.INFO)
    outages = OutageLog()
    for _ in range(3):
        outages.on_wait(AWAY)
    for seconds in (1.0, 2.0, 3.0):
        outages.on_back(AWAY, seconds)
    outages.on_wait(ServiceUnavailable("gone", service="Redis"))
    outages.on_wait(AWAY)
    found = [
        (getattr(record, "event", ""), getattr(record, "service", ""))
        for record in caplog.records
    ]
    assert found == [
        ("service-away", "Dioptra API"),
        ("service-back", "Dioptra API"),
        ("service-away", "Redis"),
        ("service-away", "Dioptra API"),
    ]
