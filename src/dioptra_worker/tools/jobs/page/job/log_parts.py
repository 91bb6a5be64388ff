"""Reads a job's log by parts, each of a bounded size, whatever the log.

A log may have a million records, and one record a MiB. So the API is first asked for
few records, and then for as many as its first ones let expect.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.tools.jobs.job_log import LogSections
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.models import LogLine
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.jobs.job_log import Entry, Section

MAX_RECORDS = 1000
"""Records of one part."""
MAX_LETTERS = 300_000
"""Letters of one part, as it is shown."""
MAX_LINE = 2000
"""Letters of a record that are shown at first."""
MAX_FETCHED = 8_000_000
"""Letters that are asked for to show a part, or to find the step that runs."""
LOOK_BACK = 2000
"""Records in which the step that runs is looked for."""
MAX_LOGS = 64
"""Jobs of which is remembered in which step they were."""
_FIRST, _MOST = 20, 500
"""Records of one request, the first and the longest."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some records of a log, one after the other.

    Attributes:
        start: The number of the first one.
        total: How many records the log had then.
        entries: The records. Those before the first that begins a section are in one
            of which only is known that it began earlier.
    """

    start: int
    total: int
    entries: tuple[Entry, ...]

    @property
    def next(self) -> int:
        """The number of the first record after it."""
        return self.start + len(self.entries)


@dataclass(frozen=True, kw_only=True)
class Latest:
    """How far a job is, by its log.

    Attributes:
        section: The part of the log that is written now; None if that is not known.
        text: The last record; empty if there is none.
        next: How many records were looked at.
    """

    section: Section | None = None
    text: str = ""
    next: int = 0


class Logs:
    """The logs of jobs; may be asked by several threads.

    Args:
        client: The API.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = client
        self._latest: OrderedDict[int, Latest] = OrderedDict()
        self._lock = threading.Lock()

    def end(self, job_id: int) -> Part:
        """The last records of a log, as many as a part may have."""
        return self.before(job_id, sys.maxsize)

    def before(self, job_id: int, number: int) -> Part:
        """The records before one, as many as a part may have."""
        total = self._total(job_id)
        start, lines = self._back(job_id, min(number, total), records=MAX_RECORDS)
        return _part(start, lines, total)

    def after(self, job_id: int, number: int) -> Part:
        """The records from one on, as many as a part may have."""
        lines: list[LogLine] = []
        total, budget = number, _Budget(MAX_RECORDS)
        while budget.records:
            start = number + len(lines)
            found, total = self._client.log_part(
                job_id, start=start, records=budget.records
            )
            kept = budget.take(found)
            lines += found[:kept]
            if kept < len(found) or not found or number + len(lines) >= total:
                break
        return _part(number, lines, total)

    def whole(self, job_id: int, number: int) -> Entry:
        """One record, all of it.

        Raises:
            Unknown: There is none of that number.
            ServiceError: The API refused, or cannot be asked.
        """
        lines, _ = self._client.log_part(job_id, start=number, records=1)
        if not lines:
            raise Unknown(f"the log of job {job_id} has no record {number}")
        return next(LogSections(number).assign(lines[:1]))

    def latest(self, job_id: int) -> Latest:
        """How far a job is; only what is new since the last time is read for it."""
        with self._lock:
            known = self._latest.pop(job_id, Latest())
        total = self._total(job_id)
        if total < known.next:  # of another API at the same address
            known = Latest()
        records = min(LOOK_BACK, total - known.next)
        start, lines = self._back(job_id, total, records=records, letters=MAX_FETCHED)
        entries = list(LogSections(start).assign(lines))
        section = entries[-1].section if entries else None
        if section is None or section.is_continued:
            section = known.section if start == known.next else None
        text = entries[-1].text if entries else known.text
        found = Latest(section=section, text=text[:MAX_LINE], next=total)
        with self._lock:
            self._latest[job_id] = found
            while len(self._latest) > MAX_LOGS:
                self._latest.popitem(last=False)
        return found

    def _total(self, job_id: int) -> int:
        return self._client.log_part(job_id, start=0, records=1)[1]

    def _back(
        self, job_id: int, end: int, *, records: int, letters: int = MAX_LETTERS
    ) -> tuple[int, list[LogLine]]:
        """Read the records before one; the number of the first, and all."""
        lines: list[LogLine] = []
        budget = _Budget(records, letters)
        while budget.records and end > 0:
            start = max(0, end - budget.records)
            found, _ = self._client.log_part(job_id, start=start, records=end - start)
            kept = budget.take(found[::-1])
            lines = found[len(found) - kept :] + lines
            end -= kept
            if kept < len(found) or not found:
                break
        return end, lines


def _part(start: int, lines: Sequence[LogLine], total: int) -> Part:
    entries = tuple(LogSections(start).assign(lines))
    return Part(start=start, total=total, entries=entries)


class _Budget:
    """How much more of a log is to be read.

    Attributes:
        records: How many records to ask for next; 0 if it is enough.
    """

    def __init__(self, records: int, letters: int = MAX_LETTERS) -> None:
        self._records = records
        self._letters = letters
        self._fetched = MAX_FETCHED
        self.records = min(_FIRST, records)

    def take(self, lines: Sequence[LogLine]) -> int:
        """Count records, in the order in which they matter; how many are in it.

        The first one is, however long.
        """
        kept = 0
        for line in lines:
            self._letters -= min(len(line.message), MAX_LINE)
            self._fetched -= len(line.message)
            if kept and self._letters < 0:
                break
            kept += 1
        self._records -= kept
        average = sum(len(line.message) for line in lines) // (len(lines) or 1) + 1
        most = min(_MOST, self._records, max(1, self._fetched // average))
        self.records = most if min(self._letters, self._fetched) > 0 else 0
        return kept
