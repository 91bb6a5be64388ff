"""A capsule that is open: what it says, and whether it holds what that says."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.common.text import strict_json
from dioptra_worker.evidence.envelope import MAX_EVIDENCE_BYTES
from dioptra_worker.provenance.chain import NOT_FINITE, digest
from dioptra_worker.provenance.manifest import BadManifest, Manifest, read_manifest
from dioptra_worker.tools.capsule import layout
from dioptra_worker.tools.capsule.archive import Archive
from dioptra_worker.tools.capsule.errors import BadCapsule, ChangedCapsule
from dioptra_worker.tools.capsule.linked import broken_links
from dioptra_worker.tools.capsule.making import Point, Record, graph_text
from dioptra_worker.tools.capsule.recorded import (
    ENDS,
    SIGNED,
    are_lines_of,
    are_points_of,
    is_of,
    lines_of,
    own_words,
    points_by_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANCESTORS = f"{layout.ANCESTORS}/"
_END_WORDS = {"finished": ENDS[:1], "failed": ENDS[1:]}
"""How the last line may begin, by the job's status."""
MAX_RECORDS_BYTES = 1 << 30
"""Of the log, or of the metrics."""


class Capsule:
    """A capsule's file, open; a context.

    Attributes:
        archive: The file.
        manifest: The job's manifest.
        manifest_bytes: The same as it was written.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BadCapsule: It is none.
        """
        self.archive = Archive(path)
        try:
            self.manifest_bytes = self.archive.read(layout.MANIFEST)
            self.manifest: Manifest = read_manifest(self.manifest_bytes)
        except BadManifest as error:
            self.archive.__exit__()
            raise BadCapsule(f"{layout.MANIFEST} in {path}: {error}") from error
        except BaseException:
            self.archive.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.archive.__exit__()

    @cached_property
    def omitted(self) -> frozenset[str]:
        """The paths of files that were left out on purpose."""
        if layout.OMITTED not in self.archive.names:
            return frozenset()
        text = self.archive.read(layout.OMITTED).decode("utf-8", "replace")
        try:
            return layout.omitted_paths(text)
        except ValueError:
            raise BadCapsule(f"{layout.OMITTED} cannot be read") from None

    @property
    def ancestors(self) -> list[str]:
        """The paths of the capsules in it, of jobs that its job came from."""
        return [it for it in self.archive.names if it.startswith(_ANCESTORS)]

    @contextmanager
    def ancestor(self, path: str) -> Iterator[Capsule]:
        """Open one of the capsules in it.

        Args:
            path: Which one.

        Raises:
            BadCapsule: It is none.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / PurePosixPath(path).name
            with file.open("wb") as target:
                target.writelines(self.archive.chunks(path))
            try:
                capsule = Capsule(file)
            except BadCapsule as error:
                raise BadCapsule(str(error).replace(str(file), path)) from None
            with capsule:
                yield capsule

    @cached_property
    def missing_ancestors(self) -> dict[str, str]:
        """Why there is no capsule of a job that its job came from, by the job's id."""
        if layout.LINEAGE not in self.archive.names:
            return {}
        try:
            found = strict_json.loads(self.archive.read(layout.LINEAGE))
            return {str(job): str(why) for job, why in found["missing"].items()}
        except (strict_json.NotJson, TypeError, LookupError, AttributeError):
            return {}  # what was written is told by its digest

    @property
    def evidence(self) -> bytes | None:
        """What the worker has signed, if it has."""
        if layout.EVIDENCE not in self.archive.names:
            return None
        return self.archive.read(layout.EVIDENCE, max_bytes=MAX_EVIDENCE_BYTES)

    @cached_property
    def log(self) -> list[Record]:
        """The job's log.

        Raises:
            BadCapsule: It cannot be read.
        """
        return [
            Record(
                severity=str(it["severity"]),
                logger=str(it["logger"]),
                message=str(it["message"]),
            )
            for it in self._records(layout.LOG, {"severity", "logger", "message"})
        ]

    @cached_property
    def metrics(self) -> list[Point]:
        """The points of all metrics.

        Raises:
            BadCapsule: They cannot be read.
        """
        found = []
        for it in self._records(layout.METRICS, {"name", "value", "step"}):
            name, value, step = it["name"], it["value"], it["step"]
            is_number = type(value) in {int, float} or value in NOT_FINITE
            if not is_number or type(step) is not int or not isinstance(name, str):
                raise BadCapsule(f"{layout.METRICS}: it has no number")
            try:
                number = float(value)
            except OverflowError:
                raise BadCapsule(f"{layout.METRICS}: it has no number") from None
            found.append(Point(name=name, value=number, step=step))
        return found

    @cached_property
    def _series(self) -> dict[str, list[Point]]:
        return points_by_name(self.metrics)

    def _records(self, name: str, members: set[str]) -> Iterator[dict[str, Any]]:
        data = self.archive.read(name, max_bytes=MAX_RECORDS_BYTES)
        for number, line in enumerate(data.splitlines(), 1):
            try:
                found = strict_json.loads(line)
            except strict_json.NotJson as error:
                raise BadCapsule(f"{name}, line {number}: {error}") from None
            if not isinstance(found, dict) or found.keys() != members:
                words = (
                    f"{name}, line {number}: it has not {', '.join(sorted(members))}"
                )
                raise BadCapsule(words)
            yield found

    def check(self) -> None:
        """See that nothing of it was changed or is missing, of what is not left out.

        Raises:
            ChangedCapsule: Something was; each file is named.
        """
        if findings := self.findings():
            raise ChangedCapsule(findings)

    def findings(self) -> list[str]:
        """One sentence for each thing that was changed or is missing."""
        return list(dict.fromkeys([*self._findings(), *self._changed_ancestors()]))

    def _changed_ancestors(self) -> Iterator[str]:
        """Compare the capsules in it with what they say, and with each other."""
        manifests = {}
        for path in self.ancestors:
            try:
                with self.ancestor(path) as ancestor:
                    manifests[path] = ancestor.manifest
                    found = list(ancestor._findings())  # noqa: SLF001 - our own class
                    if ancestor.ancestors:  # they could hold others, without an end
                        found.append("it holds others, which are not looked at")
            except BadCapsule as error:
                found = [str(error).removeprefix(path).strip()]
            yield from (f"{path}: {words}" for words in found)
        yield from broken_links(self.manifest, manifests)

    def _findings(self) -> Iterator[str]:
        changed = list(self._changed_files())
        yield from changed
        if not changed:
            yield from self._changed_records()
            if self.archive.is_as_written() is False:
                name = self.archive.path.name
                yield f"{name}: the archive was changed beside the files in it"

    def _changed_files(self) -> Iterator[str]:
        """Compare each file with the sums, and with the manifest."""
        try:
            sums = self.archive.sums()
        except BadCapsule as error:
            yield str(error)
            sums = {}
        signed = {path: sha for path, sha, _ in layout.digests(self.manifest)}
        names = set(self.archive.names) - {layout.SUMS}
        known = {*signed, *layout.RECORDS, *self.ancestors}
        for name in sorted(names | sums.keys() | signed.keys()):
            if name not in names:
                is_data = name.startswith((f"{layout.INPUTS}/", f"{layout.OUTPUTS}/"))
                if not (is_data and name in self.omitted and name in signed):
                    yield f"{name}: it is missing"
                continue
            try:
                found = self.archive.digest(name)
            except BadCapsule as error:
                yield f"{name}: it is damaged: {error}"
                continue
            expected = {sums.get(name, ""), signed.get(name, "")} - {""}
            if not expected or name not in known:
                yield f"{name}: it is none of the job's files"
            elif expected != {found}:
                yield f"{name}: it was changed: its SHA-256 is {found}"

    def _changed_records(self) -> Iterator[str]:
        """Compare what the manifest has in other words."""
        manifest = self.manifest
        try:
            if self.archive.read(layout.LOCK) != manifest.environment.lock.encode():
                yield f"{layout.LOCK}: these are other packages than the manifest's"
            if self.archive.read(layout.GRAPH) != graph_text(manifest).encode():
                yield f"{layout.GRAPH}: this is another task graph than the manifest's"
            yield from self._changed_log()
            yield from self._changed_metrics()
        except BadCapsule as error:
            yield str(error)

    def _changed_log(self) -> Iterator[str]:
        for segment in self.manifest.log.segments:
            lines = lines_of(segment, self.log)
            if len(lines) != segment.lines:
                yield (
                    f"{layout.LOG}: it has {len(lines):,} lines of the"
                    f" {segment.lines:,} that worker {segment.worker!r} wrote"
                )
            elif not are_lines_of(segment, lines):
                yield f"{layout.LOG}: a line of worker {segment.worker!r} was changed"
        if self.manifest.job.attempt == 1 and (added := self._lines_between()):
            yield (
                f"{layout.LOG}: {len(added):,} among the job's lines were not written"
                f" by its worker: {added[0].message[:100]!r}"
            )
        told = [words for it in self.log if (words := own_words(it)).startswith(SIGNED)]
        if told and self.evidence and SIGNED + digest(self.evidence) not in told:
            yield f"{layout.LOG}: it tells another digest of {layout.EVIDENCE}"

    @cached_property
    def _recorded(self) -> list[bool]:
        """Of each line of the log whether the manifest has it."""
        segments = self.manifest.log.segments
        return [any(is_of(segment, line) for segment in segments) for line in self.log]

    @cached_property
    def _span(self) -> range:
        """From the first line that the manifest has to the last."""
        found = [at for at, is_recorded in enumerate(self._recorded) if is_recorded]
        return range(found[0], found[-1] + 1) if found else range(0)

    def _lines_between(self) -> list[Record]:
        """Lines that the manifest does not have, between two that it has.

        Where an earlier worker was lost, what it said last may have come late.
        """
        return [self.log[at] for at in self._span if not self._recorded[at]]

    def uncovered(self) -> list[str]:
        """One sentence for each thing that the manifest has no digest of.

        Raises:
            BadCapsule: The log cannot be read.
        """
        found = [
            f"{path}: the manifest has no digest of it"
            for path, sha256, _ in layout.digests(self.manifest)
            if not sha256 and path in self.archive.names
        ]
        found += [
            f"{layout.METRICS}: of metric {name!r}, which went to MLflow, the manifest"
            " has the number of points alone"
            for name, series in self.manifest.metrics.names.items()
            if series.direct and not series.steps
        ]
        if others := self._lines_of_others():
            found.append(
                f"{layout.LOG}: {len(others):,} lines are not in the manifest, from"
                f" {others[0].message[:100]!r} on"
            )
        return found

    def _lines_of_others(self) -> list[Record]:
        """Lines that the manifest does not have, but for two at the end.

        They are how the job ended, as the manifest has it, and what was signed of it.
        """
        expected = {SIGNED: (SIGNED,), "end": _END_WORDS[self.manifest.job.status]}
        others = []
        for at, line in enumerate(self.log):
            if self._recorded[at]:
                continue
            words = own_words(line)
            met = [it for it, said in expected.items() if words.startswith(said)]
            if at >= self._span.stop and met:
                del expected[met[0]]
            else:
                others.append(line)
        return others

    def _changed_metrics(self) -> Iterator[str]:
        for name in sorted(self._series.keys() - self.manifest.metrics.names.keys()):
            yield f"{layout.METRICS}: the manifest has no metric {name!r}"
        for name, series in self.manifest.metrics.names.items():
            points = self._series.get(name, [])
            # Of a metric that the API has, what MLflow has beside it is not here.
            count = series.steps or series.direct
            if len(points) != count:
                yield (
                    f"{layout.METRICS}: metric {name!r} has {len(points):,} points of"
                    f" {count:,}"
                )
            elif series.steps and not are_points_of(series, points):
                yield f"{layout.METRICS}: a point of metric {name!r} was changed"

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest, in hexadecimal: the job's name for ever."""
        return digest(self.manifest_bytes)
