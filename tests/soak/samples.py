"""What workers, Redis and the disk hold, again and again: it must not grow."""

from __future__ import annotations

import contextlib
import os
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.soak.seats import Seat

_KIB = 1024
_TICKS = os.sysconf("SC_CLK_TCK")
_FORGOTTEN_BY_ITSELF = re.compile(
    rb"^rq:(job|results|executions?):|^dioptra-worker:attempts:\d+:ended$"
)
"""Keys that a job leaves for a time: RQ's, and in which attempt it ended, where it is
not the first."""


@dataclass
class ProcessSample:
    """A process at one moment.

    Attributes:
        memory: Resident, in MiB.
        descriptors: Open ones.
        threads: That run.
    """

    memory: float
    descriptors: int
    threads: int


@dataclass
class Sample:
    """All at one moment.

    Attributes:
        jobs: How many had ended.
        processes: By name, such as ``worker 3: daemon``.
        keys: In Redis, without those that RQ keeps for a job's result.
        files: In the folders of all workers.
    """

    jobs: int
    processes: dict[str, ProcessSample]
    keys: int
    files: int


@dataclass
class Sampler:
    """Takes samples, and adds up the time of processors."""

    seats: Sequence[Seat]
    samples: list[Sample] = field(default_factory=list)
    _spent: dict[str, Counter[int]] = field(default_factory=dict)

    def take(self, jobs: int, client: redis.Redis) -> None:
        """Take one.

        Args:
            jobs: How many have ended so far.
            client: Of the Redis that is the primary now.
        """
        found = {
            f"{seat.name}: {what}": sample
            for seat in self.seats
            if seat.is_kept
            for what, pid in (("daemon", seat.daemon), ("fork server", seat.forkserver))
            if pid is not None and (sample := _look(pid)) is not None
        }
        files = sum(len(files_below(seat.folder)) for seat in self.seats)
        with contextlib.suppress(redis.RedisError):
            keys = len(lasting_keys(client))
            self.samples.append(Sample(jobs, found, keys, files))

    def add_up(
        self, name: str, pids: Iterable[int], *, with_ended: bool = False
    ) -> None:
        """Note how much time of processors some processes have taken.

        Args:
            name: Whose they are.
            pids: Which; what one takes between the last look and its end is not seen.
            with_ended: Count what their children took that have ended.
        """
        spent = self._spent.setdefault(name, Counter())
        for pid in pids:
            spent[pid] = max(spent[pid], _ticks(pid, with_ended=with_ended))

    def seconds(self) -> dict[str, float]:
        """Seconds of processors that each group took."""
        return {
            name: sum(spent.values()) / _TICKS for name, spent in self._spent.items()
        }


def lasting_keys(client: redis.Redis) -> list[str]:
    """Keys of Redis that nobody is going to forget by himself."""
    return sorted(
        key.decode()
        for key in client.scan_iter(count=1000)
        if not _FORGOTTEN_BY_ITSELF.match(key)
    )


def files_below(folder: Path) -> list[Path]:
    """Files and folders of a worker, without its log; some may go meanwhile."""
    return [
        Path(place, name)
        for place, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if name != "log.txt"
    ]


def window(
    samples: Sequence[Sample], first: int, last: int
) -> dict[str, object] | None:
    """What was seen while so many jobs had ended: medians, and the most.

    Args:
        samples: All of them.
        first: From this number of jobs on.
        last: Up to this one.
    """
    chosen = [sample for sample in samples if first <= sample.jobs < last]
    if not chosen:
        return None
    names = sorted({name for sample in chosen for name in sample.processes})
    processes = {}
    for name in names:
        seen = [sample.processes[name] for sample in chosen if name in sample.processes]
        processes[name] = {
            "memory": round(statistics.median(each.memory for each in seen), 1),
            "descriptors": statistics.median(each.descriptors for each in seen),
            "threads": statistics.median(each.threads for each in seen),
        }
    return {
        "jobs": [first, last],
        "samples": len(chosen),
        "processes": processes,
        "keys": statistics.median(sample.keys for sample in chosen),
        "most_keys": max(sample.keys for sample in chosen),
        "files": statistics.median(sample.files for sample in chosen),
        "most_files": max(sample.files for sample in chosen),
    }


def _look(pid: int) -> ProcessSample | None:
    place = Path("/proc", str(pid))
    try:
        status = dict(
            line.split(":", 1)
            for line in (place / "status").read_text().splitlines()
            if ":" in line
        )
        return ProcessSample(
            memory=int(status["VmRSS"].split()[0]) / _KIB,
            descriptors=len(list((place / "fd").iterdir())),
            threads=int(status["Threads"]),
        )
    except (OSError, KeyError):  # it has ended just now
        return None


def _ticks(pid: int, *, with_ended: bool) -> int:
    """What a process has taken, perhaps with those of its children that have ended."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return 0
    user, system, *of_ended = map(int, stat.rpartition(")")[2].split()[11:15])
    return user + system + (sum(of_ended) if with_ended else 0)
