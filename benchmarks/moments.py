"""Where the time of a Hello World goes: what happened when, as services noted it."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING

from benchmarks.results import Table
from benchmarks.words import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.stage import Stage
    from benchmarks.submission import Done

_STARTED = "status `started` set (API)"
_CREATED = "MLflow run created (MLflow)"
_FIRST = "first step begins (log)"
_LAST = "last step ended (log)"
_STORED = "artifact stored (log)"
_ENDED = "MLflow run ended (MLflow)"
_REGISTERED = "artifact registered (API)"
_LOGGED = "last lines of the log delivered (API)"
_FINISHED = "status `finished` set (API)"
_ALL = (
    _STARTED,
    _CREATED,
    _FIRST,
    _LAST,
    _STORED,
    _ENDED,
    _REGISTERED,
    _LOGGED,
    _FINISHED,
)
# Only our worker writes these lines, each with its time in front.
_LINES = (
    (re.compile(r"^(\S+Z) step 1 of "), _FIRST),
    (re.compile(r"^(\S+Z) step '.*' finished"), _LAST),
    (re.compile(r"^(\S+Z) stored artifact "), _STORED),
)


class Moments:
    """What happened when in the jobs of each rival, in seconds after the queue."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, who: str, job: Done) -> None:
        """Read what is noted about a job."""
        # Of several lines of a kind, the last one counts.
        for name, moment in dict(self._of(job)).items():
            self._seconds[who, name].append(moment - job.enqueued)

    def table(self) -> Table:
        """The medians, in milliseconds."""
        who = list(dict.fromkeys(rival for rival, _ in self._seconds))
        rows = [[name, *(self._median(rival, name) for rival in who)] for name in _ALL]
        return Table(
            "Where the time goes: milliseconds after the job was enqueued, medians",
            ["what happened (who noted it)", *who],
            rows,
        )

    def _median(self, who: str, name: str) -> str:
        values = self._seconds.get((who, name))
        return f"{statistics.median(values) * 1000:.0f}" if values else NOTHING

    def _of(self, job: Done) -> Iterator[tuple[str, float]]:
        yield _STARTED, job.started
        yield _FINISHED, job.finished
        run = self._stage.mlflow_run(job.id)["info"]
        yield _CREATED, run["start_time"] / 1000
        yield _ENDED, run["end_time"] / 1000
        for artifact in self._stage.resources.artifacts(job.id):
            yield _REGISTERED, self._stage.registered(artifact.id)
        for entry in self._stage.log_entries(job.id):
            yield _LOGGED, self._stage.moment(entry["createdOn"])
            for pattern, name in _LINES:
                if found := pattern.match(entry["message"]):
                    yield name, self._stage.moment(found[1])
