"""A lineage for people: a tree that begins with the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dioptra_worker.common.text.humanize import size
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.jobs.ancestors.graph import (
        ArtifactNode,
        JobNode,
        Lineage,
        Read,
    )

MAX_FILES = 4
"""Files of a folder that are shown."""
_WORDS = {
    "manifest": "",
    "mlflow": "no manifest: told by MLflow",
    "api": "no manifest: told by the REST API",
    "none": "nothing more is told of it",
}


@dataclass(frozen=True, kw_only=True)
class _Branch:
    """A job or an artifact that is yet to be written.

    Attributes:
        kind: What it is.
        id: Its id.
        head: What stands before it.
        rest: What stands before all that belongs to it.
        words: What it is to what stands above it.
        read: That the job above has read it.
    """

    kind: Literal["job", "artifact"]
    id: int
    head: str = ""
    rest: str = ""
    words: str
    read: Read | None = None


def tree(lineage: Lineage) -> list[str]:
    """The lines of a tree; what comes up again is not told again."""
    writer = _Writer(lineage)
    if lineage.job:
        branches = [_Branch(kind="job", id=lineage.job, words="job")]
    else:
        branches = [_Branch(kind="artifact", id=lineage.artifact, words="artifact")]
    while branches:  # no recursion: a lineage may be longer than Python's stack
        branches += reversed(writer.write(branches.pop()))
    if lineage.left_out:
        writer.lines.append(f"left out: {lineage.left_out}")
    return writer.lines


class _Writer:
    """Writes each job or artifact with its details; what is below it comes next."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._shown: set[tuple[str, int]] = set()
        self.lines: list[str] = []

    def write(self, branch: _Branch) -> list[_Branch]:
        """Write a branch's beginning.

        Returns:
            What grows out of it.
        """
        again = (branch.kind, branch.id) in self._shown
        self._shown.add((branch.kind, branch.id))
        if branch.kind == "job":
            return self._job(branch, again=again)
        return self._artifact(branch, again=again)

    def _job(self, branch: _Branch, *, again: bool) -> list[_Branch]:
        job = self._lineage.jobs.get(branch.id)
        if job is None or again:
            self._line(branch, "see above" if again else "left out")
            return []
        self._line(branch, _job_words(job))
        self._details(branch, _job_details(job), more=bool(job.reads))
        return [
            _Branch(
                kind="artifact",
                id=read.artifact,
                head=f"{branch.rest}{'└─ ' if number == len(job.reads) else '├─ '}",
                rest=f"{branch.rest}{'   ' if number == len(job.reads) else '│  '}",
                words=f"read as {one_line(read.name)}: artifact",
                read=read,
            )
            for number, read in enumerate(job.reads, 1)
        ]

    def _artifact(self, branch: _Branch, *, again: bool) -> list[_Branch]:
        node = self._lineage.artifacts[branch.id]
        self._line(branch, "see above" if again else _artifact_words(node))
        details = [] if again else list(self._artifact_details(node))
        if branch.read and self._lineage.is_as_written(branch.read) is False:
            details.append(f"changed: it was not what job {node.job} had written")
        grows = bool(node.job) and not again
        self._details(branch, details, more=grows)
        maker = _Branch(
            kind="job",
            id=node.job,
            head=f"{branch.rest}└─ ",
            rest=f"{branch.rest}   ",
            words="made by job",
        )
        return [maker] if grows else []

    def _line(self, branch: _Branch, words: str) -> None:
        colon = ": " if words else ""
        self.lines.append(f"{branch.head}{branch.words} {branch.id}{colon}{words}")

    def _details(self, branch: _Branch, details: list[str], *, more: bool) -> None:
        mark = "│  " if more else "   "
        self.lines += [f"{branch.rest}{mark}{text}" for text in details]

    def _artifact_details(self, node: ArtifactNode) -> Iterator[str]:
        found = self._lineage.contents(node.id)
        if not found.files:
            if node.size is not None:
                yield f"{size(node.size)}, no manifest tells its SHA-256"
            else:
                yield "no manifest tells its SHA-256"
            return
        whole = f"{len(found.files):,} files, " if len(found.files) > 1 else ""
        did = "wrote" if found.by_maker else "read"
        total = size(sum(it.size for it in found.files))
        yield f"{whole}{total}, by the manifest of job {found.job}, which {did} it"
        shown = (
            found.files if len(found.files) <= MAX_FILES else found.files[:MAX_FILES]
        )
        for file in shown:
            name = "" if len(found.files) == 1 else f"  {one_line(file.path)}"
            yield f"sha256 {file.sha256 or 'unknown'}{name}"
        if len(found.files) > len(shown):
            yield f"and {len(found.files) - len(shown):,} more, which --json has"


def _job_words(job: JobNode) -> str:
    words = [one_line(job.entrypoint)] if job.entrypoint else []
    words += [job.status] if job.status else []
    words += ["deleted"] if job.is_deleted else []
    return ", ".join(words)


def _job_details(job: JobNode) -> list[str]:
    found = []
    if job.worker_run:
        found.append(f"worker run {job.worker_run}")
    if job.manifest:
        found.append(f"manifest sha256 {job.manifest}")
    if words := _WORDS[job.source]:
        found.append(words)
    if job.trouble:
        found.append(one_line(job.trouble))
    return found


def _artifact_words(node: ArtifactNode) -> str:
    name = one_line(node.file_name)
    words = [name] if name else []
    if node.is_unknown:
        words.append("the REST API has no record of it, nor of what made it")
    if node.is_deleted:
        words.append("its contents were deleted")
    return ", ".join(words)
