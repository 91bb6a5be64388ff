"""What another process of the same user can change of the fork server from outside.

Whatever it is, each later runner inherits it: a job would have the next ones run
slowly, on one processor, or with limits that its own process never had.
"""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

_LIMITS = sorted(
    name
    for name in dir(resource)
    if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"  # an old name of another
)


class OwnState:
    """The fork server's limits, and its share of the machine, as they should be.

    The share, others may change for good reason, such as who takes processors away from
    all of a container: it should be that of our parent, which no job is a child of.
    """

    def __init__(self) -> None:
        """Note how it is; no runner has been made yet."""
        self._parent = os.getppid()
        self._limits = _limits()
        self._share = _share(0)
        self._is_parents = self._share == _share(self._parent)

    def changed(self) -> list[str]:
        """What is not as it should be, in words."""
        share, should = _share(0), self._share
        if self._is_parents and os.getppid() == self._parent:
            should = _share(self._parent) or should
        found = {**share, **_limits()}
        return [
            name
            for name, value in {**should, **self._limits}.items()
            if found.get(name) != value
        ]


def _limits() -> dict[str, object]:
    """Each limit, as soft and hard."""
    return {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS}


def _share(pid: int) -> dict[str, object]:
    """A process's part of the machine; 0 is our own, nothing is one that has ended."""
    with contextlib.suppress(OSError):
        found: dict[str, object] = {
            "its priority": os.getpriority(os.PRIO_PROCESS, pid)
        }
        if hasattr(os, "sched_getaffinity"):  # Linux
            found["its processors"] = os.sched_getaffinity(pid)
            found["its scheduling"] = os.sched_getscheduler(pid)
            path = Path("/proc", str(pid or "self"), "oom_score_adj")
            found["its place when memory is short"] = path.read_text()
        return found
    return {}
