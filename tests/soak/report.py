"""The report of a soak: what the page in the documentation is made from."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.soak import settling
from tests.soak.samples import window
from tests.soak.seats import SETTINGS

if TYPE_CHECKING:
    from tests.soak.soak import Result

_WINDOWS = 10
_FEWEST_SAMPLES = 10
"""Of a tenth of the jobs, to be compared with others."""
_GIB = 1 << 30
MAX_GROWTH = {"memory": 20.0, "descriptors": 8.0, "threads": 4.0}
"""MiB, and numbers, by which a process may have more in the last tenth of the jobs than
in the second: what is more is a leak, and not chance."""


def report(result: Result) -> dict[str, Any]:
    """Return the report, as JSON can have it."""
    plan, jobs = result.plan, [job for job in result.jobs if job.is_over]
    found = settling.settled(jobs, result.faults, result.seats)
    touched = {each.job.id for each in found}
    alone = [
        job.ended - job.submitted
        for job in jobs
        if job.id not in touched and job.kind == "hello"
    ]
    step = max(1, -(-len(result.jobs) // _WINDOWS))
    samples = result.sampler.samples
    windows = [
        each
        for first in range(0, len(result.jobs), step)
        if (each := window(samples, first, first + step)) is not None
    ]
    slow = settling.slow(found, usual=max(alone, default=0.0))
    return {
        "planned": plan.jobs,
        "jobs": len(result.jobs),
        "seed": plan.seed,
        "seconds": round(result.seconds),
        "in_flight": plan.in_flight,
        "attempts": sum(len(job.attempts) for job in result.jobs),
        "kinds": _kinds(result),
        "machine": _machine(),
        "settings": {
            name: value
            for name, value in SETTINGS.items()
            if not name.endswith("TEST_TIMES")
        },
        "times": SETTINGS.get("DIOPTRA_WORKER_TEST_TIMES", ""),
        "has_clocks": result.has_clocks,
        "faults": settling.table(found, result.faults),
        "settled": settling.spread([each.seconds for each in found]) if found else None,
        "touched": len(found),
        "undisturbed": settling.spread(alone) if alone else None,
        "slow": slow,
        "together": sum(
            not attempt.alone for job in result.jobs for attempt in job.attempts
        ),
        "windows": windows,
        "processor": {
            name: round(seconds / max(1, len(jobs)), 3)
            for name, seconds in result.sampler.seconds().items()
        },
        "problems": [*result.problems, *_growth(windows)],
    }


def _kinds(result: Result) -> dict[str, dict[str, int]]:
    kinds: dict[str, dict[str, int]] = {}
    for (kind, status), count in sorted(
        Counter((job.kind, job.status or "stuck") for job in result.jobs).items()
    ):
        kinds.setdefault(kind, {})[status] = count
    return kinds


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return {
        "processors": os.cpu_count(),
        "memory_gib": round(memory),
        "load": [round(each, 1) for each in os.getloadavg()],
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": ".".join(map(str, sys.version_info[:3])),
    }


def _growth(windows: list[dict[str, Any]]) -> list[str]:
    """What has grown from the second tenth of the jobs to the last."""
    if len(windows) < _WINDOWS or windows[1]["samples"] < _FEWEST_SAMPLES:
        return []
    second, last = windows[1], windows[-1]
    problems = [
        f"{name} has more {what}: {before[what]} became {now[what]}"
        for name, now in last["processes"].items()
        if (before := second["processes"].get(name)) is not None
        for what, most in MAX_GROWTH.items()
        if now[what] - before[what] > most
    ]
    problems += [
        f"there are more {what}: {second[what]} became {last[what]}"
        for what in ("keys", "files")
        if last[what] > 1.5 * second[what] + 20
    ]
    return problems
