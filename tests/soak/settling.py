"""How long jobs need from a fault's end to their final status, and why so long."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.soak.faults import Fault
    from tests.soak.seats import Seat
    from tests.soak.workload import Job

BOUND = 10.0
"""Seconds that it may take, unless a lease has to run out."""
UNEXPLAINED = "nothing explains it"
SLOW_MACHINE = "the machine was slow: jobs that no fault touched took as long"
_FRESH = 1.0
"""Seconds before a worker speaks of a job for the first time: it has it already."""


@dataclass(frozen=True)
class Settled:
    """How one job came to its end after faults.

    Attributes:
        job: Which.
        fault: The last fault that touched it.
        seconds: From that one's end to the final status; 0 if that came before.
    """

    job: Job
    fault: Fault
    seconds: float

    def why(self, usual: float) -> str:
        """Why it took longer than the bound.

        Args:
            usual: Seconds that jobs took at most which no fault touched.
        """
        fault = self.fault
        began_later = self.ran < self.seconds
        if fault.because and began_later and self.seconds <= BOUND + fault.allowance:
            return fault.because
        if self.seconds <= usual:
            return SLOW_MACHINE
        return UNEXPLAINED

    @property
    def ran(self) -> float:
        """Seconds from the begin of its last attempt to its final status."""
        attempts = self.job.attempts
        return self.job.ended - attempts[-1].began if attempts else 0.0


def settled(
    jobs: Iterable[Job], faults: Sequence[Fault], seats: Sequence[Seat]
) -> list[Settled]:
    """Of each job that a fault has touched, how long it took from the last one's end.

    A fault touches a job that a worker which suffers it has at that time: from when
    that worker first speaks of it to when it last does, or to the job's end where no
    other worker has begun it. What Redis forgets touches all that are not over.
    """
    by_seat = {seat.number: seat for seat in seats}
    found = []
    for job in jobs:
        touching = [fault for fault in faults if _touches(fault, job, by_seat)]
        if touching:
            last = max(touching, key=lambda fault: fault.ended)
            found.append(Settled(job, last, max(0.0, job.ended - last.ended)))
    return found


def _touches(fault: Fault, job: Job, seats: Mapping[int, Seat]) -> bool:
    if fault.began > job.ended or fault.ended < job.submitted:
        return False
    if fault.forgets:
        return True
    return any(_has(seats[number], job, fault) for number in fault.seats)


def _has(seat: Seat, job: Job, fault: Fault) -> bool:
    mention = seat.mentions.get(job.id)
    if mention is None:
        return False
    is_last = not job.attempts or job.attempts[-1].seat == seat.number
    until = job.ended if is_last else mention.last
    return mention.first - _FRESH <= fault.ended and fault.began <= until


def table(found: Sequence[Settled], faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """By kind of fault: how often, how many jobs, how long."""
    rows = []
    for kind in sorted({fault.kind for fault in faults}):
        seconds = sorted(each.seconds for each in found if each.fault.kind == kind)
        row: dict[str, Any] = {
            "fault": kind,
            "times": sum(fault.kind == kind for fault in faults),
            "jobs": len(seconds),
        }
        if seconds:
            row |= spread(seconds)
            row["over"] = sum(each > BOUND for each in seconds)
        rows.append(row)
    return rows


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum, in seconds."""
    ordered = sorted(seconds)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 1),
        "most": round(ordered[-1], 1),
    }


def slow(found: Sequence[Settled], *, usual: float) -> list[dict[str, Any]]:
    """Each job that took longer than the bound, and why.

    Args:
        found: All that a fault touched.
        usual: Seconds that jobs took at most which no fault touched.
    """
    return [
        {
            "job": each.job.id,
            "kind": each.job.kind,
            "attempts": len(each.job.attempts),
            "fault": each.fault.kind,
            "lasted": round(each.fault.ended - each.fault.began, 1),
            "seconds": round(each.seconds, 1),
            "ran": round(each.ran, 1),
            "why": each.why(usual),
        }
        for each in sorted(found, key=lambda each: -each.seconds)
        if each.seconds > BOUND
    ]
