"""What of a job has arrived: its manifest compared with what services hold.

Points that a service has twice count once more than they were sent; nothing is missing
then. What a service does not tell is not missing either: a size is compared where no
checksum can be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance.chain import NOT_FINITE
from dioptra_worker.provenance.run_tags import WORKER_RUN_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.provenance.manifest import FileDigest, Manifest, OutputFacts

COMPLETE = "complete"
PARTIAL = "partial"
MAX_RECEIPT = 4000
"""Characters of a receipt; what is longer is cut."""
MAX_SHORT_PARAMETER = 250
"""Characters to which a parameter is cut, which is said in the log, if need be."""


@dataclass(frozen=True, kw_only=True)
class HeldFile:
    """A file as a store tells of it.

    Attributes:
        size: Its bytes.
        etag: Its ``ETag``; empty where there is none that is a checksum.
        sha256: Its SHA-256 in hex; empty where nobody tells.
    """

    size: int
    etag: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What services hold of a job.

    Attributes:
        lost_lines: How many lines of its log the API does not have; None if unknown.
        points: How many points of each metric the REST API has; None if unknown.
        direct: How many points of each metric MLflow has; None if unknown.
        parameters: The parameters of the MLflow run; None if unknown.
        worker_run: The worker run that the MLflow run is said to be of.
        files: What the store has of each output artifact, by its name and the path;
            an artifact that is not in it is unknown.
    """

    lost_lines: int | None = None
    points: Mapping[str, int] | None = None
    direct: Mapping[str, int] | None = None
    parameters: Mapping[str, str] | None = None
    worker_run: str | None = None
    files: Mapping[str, Mapping[str, HeldFile]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Something that was sent and is not there.

    Attributes:
        what: ``log``, ``metric``, ``parameter``, ``artifact`` or ``tag``.
        name: Which metric, parameter, tag, or file of which artifact; empty for the
            log.
        count: How many lines or points; bytes of a file that is there in part; 1 else.
        words: The same for people.
    """

    what: str
    name: str
    count: int
    words: str


@dataclass(frozen=True)
class Receipt:
    """Whether all that was sent has arrived; complete without anything missing."""

    missing: tuple[Missing, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    def __str__(self) -> str:
        """The receipt in one line, as the run's tag has it."""
        if self.is_complete:
            return COMPLETE
        text = f"{PARTIAL}: {', '.join(it.words for it in self.missing)}"
        return text if len(text) <= MAX_RECEIPT else f"{text[: MAX_RECEIPT - 1]}…"


def compare(manifest: Manifest, held: Held) -> Receipt:
    """What is missing of a job.

    Args:
        manifest: What was sent.
        held: What is there.
    """
    return Receipt(
        (
            *_lines(held),
            *_points(manifest, held),
            *_parameters(manifest, held),
            *_tags(manifest, held),
            *_files(manifest, held),
        )
    )


def _lines(held: Held) -> Iterator[Missing]:
    if count := held.lost_lines:
        words = f"{count:,} log {'line' if count == 1 else 'lines'}"
        yield Missing(what="log", name="", count=count, words=words)


def _points(manifest: Manifest, held: Held) -> Iterator[Missing]:
    for name, series in sorted(manifest.metrics.names.items()):
        for sent, there, where in (
            (series.steps, held.points, ""),
            (series.direct, held.direct, " in MLflow"),
        ):
            count = 0 if there is None else sent - there.get(name, 0)
            if count > 0:
                points = "point" if count == 1 else "points"
                words = f"{count:,} {points} of {name!r}{where}"
                yield Missing(what="metric", name=name, count=count, words=words)


def _parameters(manifest: Manifest, held: Held) -> Iterator[Missing]:
    if held.parameters is None:
        return
    for parameter in manifest.plan.parameters:
        name, found = parameter.name, held.parameters.get(parameter.name)
        if found is None:
            words = f"parameter {name!r}"
        elif not _is_same(parameter.value, found):
            words = f"the value of parameter {name!r}"
        else:
            continue
        yield Missing(what="parameter", name=name, count=1, words=words)


def _is_same(value: Any, held: str) -> bool:
    text = str(value)
    is_cut = len(held) == MAX_SHORT_PARAMETER and text.startswith(held)
    is_no_number = text in NOT_FINITE and held.lower() in {"nan", "inf", "-inf"}
    return text == held or is_cut or is_no_number


def _tags(manifest: Manifest, held: Held) -> Iterator[Missing]:
    if held.worker_run is not None and held.worker_run != manifest.worker_run.id:
        words = "the run's tags"
        yield Missing(what="tag", name=WORKER_RUN_ID, count=1, words=words)


def _files(manifest: Manifest, held: Held) -> Iterator[Missing]:
    for output in manifest.outputs:
        there = held.files.get(output.name)
        if there is None:
            continue
        for file in output.files:
            found = there.get(file.path)
            trouble = _trouble(file, found)
            if trouble:
                count = 1 if found is None else max(1, file.size - found.size)
                name = _named(output, file)
                words = f"{name}: {trouble}"
                yield Missing(what="artifact", name=name, count=count, words=words)


def _trouble(file: FileDigest, found: HeldFile | None) -> str:
    """What is wrong with a file as its store has it; empty for nothing."""
    if found is None:
        return "not there"
    if found.size < file.size:
        return f"the last {file.size - found.size:,} of {file.size:,} bytes"
    if found.size > file.size:
        return f"{found.size:,} bytes instead of {file.size:,}"
    if found.sha256 and file.sha256 and found.sha256 != file.sha256:
        return "other content"
    is_alike = found.etag.rpartition("-")[2] == file.etag.rpartition("-")[2]
    is_md5 = "-" not in found.etag and "-" not in file.etag
    comparable = found.etag and file.etag and (is_md5 or is_alike)
    return "other content" if comparable and found.etag != file.etag else ""


def _named(output: OutputFacts, file: FileDigest) -> str:
    """A file of an artifact, as people call it."""
    stem = output.file_name
    return file.path if file.path == stem else f"{stem}/{file.path}"
