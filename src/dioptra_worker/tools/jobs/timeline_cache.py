"""What is known of jobs from earlier commands, cached on disk between two commands.

The API needs some milliseconds for each job of a list, so a thousand take seconds; and
a job that has ended stays as it is. The file can always be made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dioptra_worker.api.models import StatusChange
from dioptra_worker.common.files.plain_file import write_whole
from dioptra_worker.common.files.trusted_folder import make_private
from dioptra_worker.tools.jobs.job_row import JobRow
from dioptra_worker.tools.resources.timeline import Timeline

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = 2


@dataclass
class TimelineCache:
    """The jobs and timelines that are known, of one user at one API.

    Attributes:
        file: Where they are kept; None keeps them in memory only.
        jobs: The newest jobs by id, as they were when last looked at.
        timelines: Timelines by the job's id, with the time of the change that they
            include.
        rest: How many older jobs there were besides; None when no jobs are kept.
    """

    file: Path | None
    jobs: dict[int, JobRow] = field(default_factory=dict)
    timelines: dict[int, tuple[datetime, Timeline]] = field(default_factory=dict)
    rest: int | None = None

    @classmethod
    def load(cls, folder: Path, *, url: str, username: str) -> TimelineCache:
        """Read what is kept; nothing is when it cannot be read.

        Args:
            folder: Where the files are.
            url: The API.
            username: The user, since others see other jobs.
        """
        digest = hashlib.sha256(f"{url}\n{username}".encode()).hexdigest()[:16]
        cache = cls(folder / f"jobs-{digest}.json")
        # Whatever is wrong with the file, it is not worth a word: it is made anew.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            cache._read()
        return cache

    def timeline(self, job: JobRow) -> Timeline | None:
        """The timeline of a job, if it is known as far as the job's last change."""
        known = self.timelines.get(job.id)
        return known[1] if known is not None and known[0] == job.modified else None

    def put_timeline(self, job: JobRow, timeline: Timeline) -> None:
        """Keep the timeline of a job that was read after the job was."""
        if timeline.changes and timeline.changes[-1].status == job.status:
            self.timelines[job.id] = (job.modified, timeline)

    def replace(self, jobs: dict[int, JobRow], *, rest: int) -> None:
        """Keep the newest jobs that there are, and forget about others."""
        self.jobs, self.rest = jobs, rest
        if rest == 0:
            self.timelines = {
                id_: known for id_, known in self.timelines.items() if id_ in jobs
            }

    def clear(self) -> None:
        """Forget the jobs."""
        self.jobs, self.rest = {}, None

    def save(self) -> None:
        """Write it to its file, as a whole; it is no harm if that cannot be done."""
        if self.file is None:
            return
        body = {
            "version": _VERSION,
            "jobs": [job.dump() for job in self.jobs.values()],
            "rest": self.rest,
            "timelines": {id_: _dump(*known) for id_, known in self.timelines.items()},
        }
        with contextlib.suppress(OSError):
            make_private(self.file.parent)
            # `dump` is many times slower.
            write_whole(self.file, json.dumps(body).encode())

    def _read(self) -> None:
        assert self.file is not None
        body = json.loads(self.file.read_text(encoding="utf-8"))
        if body["version"] != _VERSION:
            return
        jobs = {body["id"]: JobRow.load(body) for body in body["jobs"]}
        timelines = {int(id_): _load(known) for id_, known in body["timelines"].items()}
        self.jobs, self.timelines, self.rest = jobs, timelines, body["rest"]


def _dump(modified: datetime, timeline: Timeline) -> dict[str, Any]:
    return {
        "modified": modified.isoformat(),
        "changes": [
            (change.status, change.at.isoformat()) for change in timeline.changes
        ],
    }


def _load(body: dict[str, Any]) -> tuple[datetime, Timeline]:
    changes = tuple(
        StatusChange(status=status, at=datetime.fromisoformat(at))
        for status, at in body["changes"]
    )
    return datetime.fromisoformat(body["modified"]), Timeline(changes)
