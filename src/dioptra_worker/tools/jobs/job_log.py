"""A job's log: its records, each with its time and the step that it belongs to."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dioptra_worker.protocol.messages import OWN_LOGGER, STEP_LOGGER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dioptra_worker.api.models import LogLine

SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# What the worker puts before a record, since the API knows only when it arrived.
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) ", re.ASCII)

# How our worker, and the platform's own, tell that a step begins.
_OURS = re.compile(r"step (\d+) of (\d+): ['\"](.+)['\"] runs task ['\"](.+)['\"]")
# The latter sends each line as its log has it, with severity and logger around it.
_THEIRS = re.compile(r"(?:\[\w+ *\] )?Running step: (.+?)(?: +\[[\w.]+\])?")
_BEGINS = re.compile(r"worker '.*' runs entrypoint ")
_ENDS = re.compile(r"the job (?:finished|failed|was stopped)\b")


@dataclass(frozen=True)
class Section:
    """A part of a log.

    Attributes:
        number: The number of its first record.
        title: What to call it.
        step: The step that it is about; None before the first and after the last.
        is_continued: Whether it began earlier, nobody knows where: the log was read
            from there on.
    """

    number: int
    title: str
    step: str | None = None
    is_continued: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One record of a log.

    Attributes:
        number: Its place in the log, from 0.
        at: When it was written, or else when the API got it.
        severity: One of `SEVERITIES`.
        logger: Who wrote it.
        text: What was written, as it was.
        is_own: Whether the worker said it, and not the job.
        section: The part of the log that it belongs to.
    """

    number: int
    at: datetime | None
    severity: str
    logger: str
    text: str
    section: Section
    is_own: bool = False

    @property
    def origin(self) -> str:
        """Who said it: ``worker`` or ``job``."""
        return "worker" if self.is_own else "job"

    def is_at_least(self, severity: str) -> bool:
        """Whether it is as severe, or more; a severity of others' making is."""
        if self.severity not in SEVERITIES:
            return True
        return SEVERITIES.index(self.severity) >= SEVERITIES.index(severity)

    def dump(self) -> dict[str, Any]:
        """The same in JSON's types."""
        return {
            "number": self.number,
            "at": self.at.isoformat() if self.at else None,
            "severity": self.severity,
            "origin": self.origin,
            "logger": self.logger,
            "text": self.text,
            "section": self.section.title,
            "step": self.section.step,
        }


def _stamped(line: LogLine) -> tuple[datetime | None, str]:
    """When a line was written, and what it says; a job may write what it likes."""
    stamp = _STAMP.match(line.message)
    if stamp is not None:
        with contextlib.suppress(ValueError):  # such as the 30th of February
            at = datetime.fromisoformat(stamp[1])
            return at, line.message[stamp.end() :]
    return line.stored, line.message


class LogSections:
    """Divides a log into sections while it is read.

    Args:
        start: The number of the record from which it is read on.
    """

    def __init__(self, start: int = 0) -> None:
        continued = Section(start, "Continued", is_continued=True)
        self._section = continued if start else Section(0, "Preparation")
        self._count = start

    def assign(self, lines: Iterable[LogLine]) -> Iterator[Entry]:
        """Say of each record, in order, what part of the log it belongs to."""
        for line in lines:
            at, text = _stamped(line)
            self._turn(line.logger, text)
            yield Entry(
                number=self._count,
                at=at,
                severity=line.severity,
                logger=line.logger,
                text=text,
                section=self._section,
                is_own=_is_ours(line.logger),
            )
            self._count += 1

    def _turn(self, logger: str, text: str) -> None:
        """Begin another section where a record says so."""
        title, step = None, None
        if logger == STEP_LOGGER and (found := _OURS.match(text)):
            number, total, step, task = found.groups()
            title = f"Step {number} of {total}: {step} ({task})"
        elif logger == OWN_LOGGER and _BEGINS.match(text) and self._count:
            title = "Preparation of another attempt"
        elif logger == OWN_LOGGER and _ENDS.match(text):
            title = "End"
        elif (found := _THEIRS.fullmatch(text)) and not _is_ours(logger):
            step = found[1].strip()
            title = f"Step: {step}"
        if title is not None:
            self._section = Section(self._count, title, step)


def _is_ours(logger: str) -> bool:
    """Whether the worker said it: no line of a job's has such a name."""
    return logger == OWN_LOGGER or logger.startswith(f"{OWN_LOGGER}.")
