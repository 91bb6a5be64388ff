"""Evidence that the system killed a process because memory ran out.

Sources: the kernel's documentation of control groups, ``memory.events`` and
``memory.max`` (version 2), ``memory.oom_control`` and ``memory.limit_in_bytes``
(version 1). Elsewhere there is only the machine's memory to compare with.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NEARLY_ALL = 0.9
"""The part of the limit that counts as having run out."""
_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class OomDetector:
    """The state of memory when a runner began.

    Attributes:
        kills: How often the kernel had killed for want of memory in our group; None
            when it does not say.
        limit: Bytes that our group or this machine may use.
    """

    kills: int | None
    limit: int

    @classmethod
    def start(cls) -> Self:
        """Look at the state now."""
        return cls(kills=_kills(), limit=memory_limit())

    def ran_out(self, peak: int | None) -> bool:
        """Whether memory has run out since.

        Args:
            peak: The most that the process had, in bytes.
        """
        kills = _kills()
        if self.kills is not None and kills is not None and kills > self.kills:
            return True
        return peak is not None and peak >= NEARLY_ALL * self.limit


def _groups() -> list[Path]:
    """The folders of our control group, of either version, innermost first."""
    folders = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folders += [_ROOT / path.lstrip("/"), _ROOT]
        elif "memory" in controllers.split(","):
            folders += [_ROOT / "memory" / path.lstrip("/"), _ROOT / "memory"]
    return folders


def _kills() -> int | None:
    for folder in _groups():
        for name in ("memory.events", "memory.oom_control"):
            try:
                lines = (folder / name).read_text().splitlines()
                return int(dict(line.split() for line in lines)["oom_kill"])
            except (OSError, KeyError, ValueError):
                continue
    return None


def memory_limit() -> int:
    """Bytes that our group or this machine may use."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                limits.append(int((folder / name).read_text()))
            except (OSError, ValueError):  # "max" is no number
                continue
    return min(limits)
