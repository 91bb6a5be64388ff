"""The heartbeat stops a job whose lease is lost, whether Redis says so or nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, cast

from tests.plugins.until import until

from dioptra_worker.broker.records import LeaseHolder
from dioptra_worker.common.stop import LEASE_LOST, JobStop, StopRequests, lease_clock
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.daemon.job.heartbeat import Heartbeat
from dioptra_worker.errors import ServiceUnavailable

LONG = 3600.0
SOON = 10.0
JOB = 7


@dataclass
class Redis:
    """RQ's books and our leases, as far as a heartbeat goes.

    Attributes:
        holder: Who else has the lease.
        away: Whether it does not answer.
        hangs: Keeps who asks until it is set, if it is there.
        replaced_by: Who has the worker's name.
    """

    holder: LeaseHolder | None = None
    away: bool = False
    hangs: threading.Event | None = None
    replaced_by: str | None = None
    beats: list[object] = field(default_factory=list)

    def acquire(self, job_id: int, stop: JobStop) -> LeaseHolder | None:
        """Renew the lease on the job."""
        assert job_id == JOB
        if self.hangs is not None:
            self.hangs.wait()
        if self.away:
            raise ServiceUnavailable("it is away", service="Redis")
        if self.holder is None:
            stop.own_until(lease_clock() + LONG)
        return self.holder

    def send_heartbeat(self, active: object) -> None:
        """Tell RQ that we live."""
        self.beats.append(active)


def _heartbeat(
    redis: Redis, interval: float = 0.01, stops: StopRequests | None = None
) -> Heartbeat:
    there = cast("Any", redis)
    return Heartbeat(there, there, HealthState(), interval=interval, stops=stops)


def test_a_lease_is_renewed() -> None:
    """A job that nobody else has is held on, heartbeat by heartbeat."""
    redis, stop = Redis(), JobStop()
    stop.own_until(lease_clock() + 60.0)
    with _heartbeat(redis) as heartbeat:
        heartbeat.hold(JOB, stop)
        until(lambda: stop.lease_left > 60.0, seconds=SOON)
    assert stop.requested is None


def test_another_has_our_name() -> None:
    """A worker that was replaced shuts down, once, and keeps the job that it has."""
    redis, stop, stops = (
        Redis(replaced_by="process 7 on there"),
        JobStop(),
        StopRequests(),
    )
    stop.own_until(lease_clock() + 60.0)
    with _heartbeat(redis, stops=stops) as heartbeat:
        heartbeat.hold(JOB, stop)
        until(lambda: len(redis.beats) > 3, seconds=SOON)
    assert stops.shutdowns == 1
    assert stop.requested is None
    assert stop.lease_left > 60.0


def test_another_has_taken_the_job_over() -> None:
    """A job whose lease another worker has is stopped at once, and is not ours."""
    redis, stop = Redis(LeaseHolder("another", "elsewhere", pid=1, birth="")), JobStop()
    with _heartbeat(redis) as heartbeat:
        heartbeat.hold(JOB, stop)
        until(lambda: stop.requested is not None, seconds=SOON)
    assert stop.superseded is not None
    assert "'another' on elsewhere" in stop.superseded.reason
    assert stop.requested is not None
    assert stop.requested.kill


def test_redis_is_away_until_the_lease_ends() -> None:
    """A job is stopped at the end of its lease, and not a moment before."""
    redis, stop = Redis(away=True), JobStop()
    ends = lease_clock() + 0.1
    stop.own_until(ends)
    with _heartbeat(redis) as heartbeat:
        heartbeat.hold(JOB, stop)
        until(lambda: stop.requested is not None, seconds=SOON)
        assert lease_clock() >= ends
    assert stop.requested == LEASE_LOST


def test_redis_hangs_until_the_lease_ends() -> None:
    """A heartbeat that never comes back keeps no job running beyond its lease."""
    hangs = threading.Event()
    redis, stop = Redis(hangs=hangs), JobStop()
    stop.own_until(lease_clock() + 0.1)
    try:
        with _heartbeat(redis) as heartbeat:
            heartbeat.hold(JOB, stop)
            until(lambda: stop.requested is not None, seconds=SOON)
    finally:
        hangs.set()
    assert stop.requested == LEASE_LOST
