"""What is wrong with a job that has ended, as the REST API and the store show it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.soak.workload import ARTIFACTS, MAY_FINISH, MEANT, STEPS

from dioptra_worker.tools.local.config import BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.plugins.testbed import Platform
    from tests.soak.workload import Job

_LINE = re.compile(r"^(\[attempt \d+\] )?line (\d+) of (\d+)$")
_END = re.compile(r"^the job (finished|failed|was stopped)\b")
_BEGUN_AGAIN = re.compile(r"this is attempt (\d+) of")
_DELIVERED_LATE = re.compile(r"delivered late: .* of attempt (\d+),")
_CAUSES = {
    "failing": (MEANT,),
    "endless": ("stopped by request",),
    "limited": ("timed out after its limit",),
}
_FORCE = re.compile(r"killed|was lost|ended by itself|fork server")
"""What the cause may say of a job whose process was killed."""


@dataclass
class Log:
    """A job's log, taken apart.

    Attributes:
        numbers: By attempt's mark, the numbers of its lines, in their order.
        ends: The lines that say how the job ended.
        late: Unmarked lines of attempts behind the last of those.
        text: All of it.
    """

    text: str
    numbers: dict[int, list[int]] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    @property
    def late_marks(self) -> set[str]:
        """The marks of the attempts that those are of."""
        return {line.rpartition(" ")[2] for line in self.late}


def problems(job: Job, platform: Platform, objects: Path) -> list[str]:
    """Look at a job from all sides.

    Args:
        job: It has ended, and nobody deleted it.
        platform: Shows it.
        objects: The folder of the store's objects.

    Returns:
        What is wrong, a sentence each.
    """
    log = _read_log([line.text for line in platform.log(job.id)])
    found = [*_of_status(job, log), *_of_lines(job, log)]
    if job.status == "finished":
        found += _of_results(job, log, platform, objects)
    return [f"job {job.id} ({job.kind}) {words}" for words in found]


def _read_log(lines: Sequence[str]) -> Log:
    log = Log("\n".join(lines))
    for line in lines:
        if _END.match(line):
            log.ends.append(line)
            log.late.clear()
        elif match := _LINE.match(line):
            marked, number, mark = match.groups()
            log.numbers.setdefault(int(mark), []).append(int(number))
            if log.ends and not marked:
                log.late.append(line)
    return log


def _of_status(job: Job, log: Log) -> Iterator[str]:
    if len(log.ends) != 1:
        yield f"ended {len(log.ends)} times by its log: {log.ends}"
    yield from _of_late_lines(log)
    cause = log.ends[-1] if log.ends else ""
    was_hit = bool(job.hits) and _FORCE.search(cause) is not None
    if job.status == "finished" and job.kind not in MAY_FINISH:
        yield "finished"
    elif job.status == "failed" and not was_hit:
        expected = _CAUSES.get(job.kind, ())
        if not any(words in cause for words in expected):
            yield f"failed: {cause!r}"


def _of_late_lines(log: Log) -> Iterator[str]:
    """Unmarked lines behind the end, but for what a lost worker had left of it.

    Whoever told the end had it from Redis; the lines came once that machine was back.
    """
    last = max(map(int, _BEGUN_AGAIN.findall(log.text)), default=1)
    is_left = str(last) in _DELIVERED_LATE.findall(log.text)
    marks = log.late_marks
    if marks and not (is_left and len(marks) == 1):
        yield f"says more after its end: {log.late}"


def _of_lines(job: Job, log: Log) -> Iterator[str]:
    """Lines that came twice, in disorder or not at all, attempt by attempt."""
    for mark, numbers in log.numbers.items():
        twice = [number for number, count in Counter(numbers).items() if count > 1]
        if twice:
            yield f"has lines twice: {twice} of attempt {mark}"
        elif numbers != sorted(numbers):
            yield f"has lines in disorder: {numbers} of attempt {mark}"
        elif numbers != list(range(len(numbers))):
            yield f"lacks lines between others: {numbers} of attempt {mark}"
    if job.hits or not job.attempts:
        return
    last = job.attempts[-1].mark
    expected = job.lines
    if job.kind in {"endless", "limited"}:  # it never comes to the second half
        expected -= job.lines // 2
    if len(log.numbers.get(last, [])) != expected:
        there = log.numbers.get(last, [])
        yield f"has lines {there} and not all {expected} of its last attempt {last}"


def _of_results(job: Job, log: Log, platform: Platform, objects: Path) -> Iterator[str]:
    """Artifacts and metrics that are not those of one attempt, each once."""
    refs = platform.job(job.id)["artifacts"]
    uris = [
        str(platform.api.get(f"/artifacts/{ref['id']}")["artifactUri"]) for ref in refs
    ]
    names = Counter(uri.rpartition("artifacts/")[2].split("/")[0] for uri in uris)
    if names != Counter(ARTIFACTS):
        yield f"has the artifacts {sorted(uris)}"
        return
    marks = {mark for uri in uris for mark in _contents(objects, uri)}
    points = platform.api.get(
        f"/jobs/{job.id}/metrics/mark/snapshots", pageLength=1000
    )["data"]
    steps = sorted(point["step"] for point in points)
    if steps != list(range(STEPS)):
        yield f"has its metric at the steps {steps}"
    marks |= {str(int(point["value"])) for point in points}
    if len(marks) != 1:
        yield f"shows results of the attempts {sorted(marks)}"
    ended = {str(attempt.mark) for attempt in job.attempts if attempt.ended}
    if not marks <= ended:
        yield f"shows results of {sorted(marks)}, and {sorted(ended)} ended"
    late = log.late_marks
    if late - marks:
        yield f"says more after its end, of {late}, and shows results of {marks}"
    if {int(mark) for mark in marks} - set(log.numbers):
        yield f"shows results of {sorted(marks)}, of which its log has no line"


def _contents(objects: Path, uri: str) -> list[str]:
    path = objects / BUCKET / uri.removeprefix(f"s3://{BUCKET}/")
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return [file.read_text() for file in files if file.is_file()] or [f"nothing: {uri}"]


def shown(job: Job, platform: Platform) -> dict[str, Any]:
    """What somebody needs who looks into a problem."""
    return {
        "job": job.id,
        "kind": job.kind,
        "status": job.status,
        "attempts": [vars(attempt) for attempt in job.attempts],
        "hits": job.hits,
        "log": platform.text(job.id).splitlines(),
    }
