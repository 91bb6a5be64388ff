"""The heartbeat file: how it is written, found and judged.

The container's health check reads it, and is started every few seconds: nothing is
imported here that costs more than a few milliseconds.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.common.files.trusted_folder import make_parents

if TYPE_CHECKING:
    from pathlib import Path

WRITE_INTERVAL = 5.0
"""Seconds between two writes."""
MAX_AGE = 30.0
"""Seconds after which a heartbeat counts as missing."""
MAX_SHOWN = 5
"""Jobs that are named where there may be many."""
_NAME = "{name}"
_FULL = {errno.ENOSPC, errno.EDQUOT}


class NoHeartbeat(Exception):
    """There is no heartbeat to judge by; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """What a daemon last said of itself.

    Attributes:
        written: When it said so.
        pid: Its process id.
        birth: When that process began, as its system tells it.
        host: Its machine.
        state: What it does.
        since: Since when.
        job_id: The job that it runs.
        waiting_for: The services that do not answer.
        parked: The jobs of its queues that are parked.
        trouble: Why it cannot prepare jobs; empty when it can.
        namespace: Where its process id counts; None where that is not said.
    """

    written: datetime
    pid: int
    birth: str
    host: str
    state: str
    since: datetime
    job_id: int | None
    waiting_for: tuple[str, ...]
    parked: tuple[int, ...] = ()
    trouble: str = ""
    namespace: str | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a heartbeat file.

        Raises:
            NoHeartbeat: If there is none, or it is something else.
        """
        try:
            body = json.loads(path.read_bytes())
            return cls(
                written=datetime.fromisoformat(body["written"]),
                pid=int(body["pid"]),
                birth=str(body["birth"]),
                host=str(body["host"]),
                state=str(body["state"]),
                since=datetime.fromisoformat(body["since"]),
                job_id=body["job_id"],
                waiting_for=tuple(body["waiting_for"]),
                parked=tuple(int(job["job_id"]) for job in body.get("parked", ())),
                trouble=str(body.get("trouble", "")),
                namespace=body.get("namespace"),
            )
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise NoHeartbeat(f"{path} cannot be read: {reason}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise NoHeartbeat(f"{path} is no heartbeat of a worker") from error

    def age(self) -> float:
        """Seconds since it was written; a clock that was set back gives 0."""
        return max(0.0, (now() - self.written).total_seconds())

    @property
    def words(self) -> str:
        """What the daemon does, for people."""
        job = f" with job {self.job_id}" if self.job_id is not None else ""
        away = f", waiting for {' and '.join(self.waiting_for)}"
        seconds = max(0.0, (now() - self.since).total_seconds())
        since = f" for {seconds:.0f} s"
        return (
            f"{self.state}{job}{since}{away if self.waiting_for else ''}"
            f"{_parked(self.parked)}"
            f"{f'; it cannot prepare jobs: {self.trouble}' if self.trouble else ''}"
        )


def _parked(jobs: tuple[int, ...]) -> str:
    """Say which jobs are parked, of many some."""
    if not jobs:
        return ""
    shown = ", ".join(map(str, jobs[:MAX_SHOWN]))
    more = ", ..." if len(jobs) > MAX_SHOWN else ""
    word = "job is" if len(jobs) == 1 else "jobs are"
    return f"; {len(jobs)} {word} parked: {shown}{more}"


def place(pattern: Path, *, work_dir: Path, name: str) -> Path:
    """The file of one worker.

    Args:
        pattern: The setting, in which ``{name}`` stands for the name.
        work_dir: What it may lie relative to.
        name: The worker's name or process id.
    """
    safe = name.replace("/", "-").replace("\0", "-")
    return work_dir / str(pattern).replace(_NAME, safe)


def candidates(pattern: Path, *, work_dir: Path) -> list[Path]:
    """The files that workers of these settings have written."""
    whole = work_dir / pattern
    if _NAME not in whole.name:
        return [whole] if whole.exists() else []
    return sorted(whole.parent.glob(whole.name.replace(_NAME, "*")))


def write(path: Path, body: dict[str, Any]) -> None:
    """Put a heartbeat in the place of the last one, for the owner's eyes only.

    On a full disk, which a job may have filled, it is written over the last one.

    Raises:
        OSError: If it cannot be written.
    """
    content = json.dumps(body).encode() + b"\n"
    try:
        _replace(path, content)
    except OSError as error:
        if error.errno not in _FULL or not _write_over(path, content):
            raise


def _replace(path: Path, content: bytes) -> None:
    make_parents(path)
    new = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # not through somebody's link
    descriptor = os.open(new, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.replace(path)


def _write_over(path: Path, content: bytes) -> bool:
    """Write where there is something already; whether there is and that went well."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            room = os.fstat(descriptor).st_size
            return file.write(content.ljust(room)) >= len(content)  # at once
    except OSError:
        return False


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def moment(seconds: float) -> str:
    """Seconds since the epoch as the file has them: ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat("T", "milliseconds")
