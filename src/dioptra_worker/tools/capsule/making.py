"""Makes a capsule of what a job has left, wherever that is."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from dioptra_worker.errors import NotFound
from dioptra_worker.provenance.chain import canonical
from dioptra_worker.provenance.crate import CrateFile, metadata
from dioptra_worker.provenance.manifest import BadManifest, read_manifest
from dioptra_worker.tools.capsule import archive, layout
from dioptra_worker.tools.capsule.errors import CapsuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dioptra_worker.provenance.manifest import (
        InputFacts,
        Manifest,
        OutputFacts,
        PluginFile,
    )

_WORDS = {
    layout.MANIFEST: "What was run on what, with what result, file by file.",
    layout.EVIDENCE: "What the worker has signed.",
    layout.LOG: "The job's log, a record a line.",
    layout.METRICS: "The points of all metrics, one a line.",
    layout.LOCK: "The packages of the environment.",
    layout.OMITTED: "The files that were left out.",
    layout.LINEAGE: "The jobs and artifacts that the job came from.",
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of a job's log."""

    severity: str
    logger: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """A metric's value at one step."""

    name: str
    value: float
    step: int


class Source(Protocol):
    """Where what a job has left is found; each method may raise `WorkerError`."""

    def manifest(self) -> bytes:
        """The job's manifest."""
        ...

    def evidence(self) -> bytes | None:
        """What its worker has signed, if it has."""
        ...

    def log(self) -> Iterable[Record]:
        """The records of its log, in order."""
        ...

    def metrics(self) -> Iterable[Point]:
        """The points of its metrics, those of a metric in order."""
        ...

    def plugins(self, one: PluginFile, target: Path) -> None:
        """Put the files of the bundle of plugins that has a file into a folder."""
        ...

    def input(self, one: InputFacts, target: Path) -> None:
        """Put an input artifact, a file or a folder, into a folder that is there."""
        ...

    def output(self, one: OutputFacts, target: Path) -> None:
        """Put an output artifact, a file or a folder, into a folder that is there."""
        ...


@dataclass(frozen=True)
class Ancestors:
    """The jobs that a job came from.

    Attributes:
        lineage: Its lineage, in JSON's types.
        sources: Where their things are, by the jobs' ids, the nearest first.
    """

    lineage: Mapping[str, Any]
    sources: Mapping[int, Source]


@dataclass(frozen=True)
class Made:
    """A capsule that was made.

    Attributes:
        omitted: The paths of files that were left out.
        omitted_bytes: How large they are.
        data_bytes: How large the artifacts are that are in it.
        ancestors: The paths of the capsules in it of jobs that it came from.
        missing: Why there is none of the others, by the jobs' ids.
    """

    omitted: tuple[str, ...]
    omitted_bytes: int
    data_bytes: int
    ancestors: tuple[str, ...] = ()
    missing: Mapping[int, str] = field(default_factory=dict)


def make(
    source: Source,
    target: Path,
    *,
    with_data: bool = True,
    max_size: int | None = None,
    ancestors: Ancestors | None = None,
) -> Made:
    """Make a capsule.

    Args:
        source: Where the job's things are.
        target: The file to write; it must not be there.
        with_data: Whether to put artifacts into it.
        max_size: How many bytes artifacts may have in all; the largest are left out
            until they fit, and those of ancestors before the job's own.
        ancestors: The jobs whose capsules are to be in it.

    Raises:
        CapsuleError: The file is there, or cannot be written.
        WorkerError: What a source raises.
    """
    target = target.absolute()
    with tempfile.TemporaryDirectory(
        prefix=".dioptra-worker-", dir=target.parent
    ) as name:
        staging = _Staging(Path(name))
        manifest = staging.records(source)
        staging.plugins(source, manifest)
        left_out = _to_leave_out(manifest, with_data=with_data, max_size=max_size)
        staging.artifacts(source, manifest, without=left_out)
        data = sum(_data_sizes(manifest).values()) - sum(left_out.values())
        if ancestors is not None:
            left = None if max_size is None else max_size - data
            staging.ancestors(ancestors, with_data=with_data, max_size=left)
        staging.crate(manifest)
        archive.write(staging.folder, target)
    return Made(
        omitted=tuple(sorted([*left_out, *staging.omitted])),
        omitted_bytes=sum(left_out.values()) + staging.omitted_bytes,
        data_bytes=data + staging.data_bytes,
        ancestors=tuple(staging.made),
        missing=staging.missing,
    )


class _Staging:
    """Fills the folder that becomes a capsule."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[str] = []
        self.missing: dict[int, str] = {}
        self.omitted: list[str] = []
        self.omitted_bytes = self.data_bytes = 0

    def records(self, source: Source) -> Manifest:
        """The manifest, what was signed, and what the manifest has digests of."""
        data = source.manifest()
        manifest = read_manifest(data)
        self._put(layout.MANIFEST, data)
        evidence = source.evidence()
        if evidence is not None:
            self._put(layout.EVIDENCE, evidence)
        self._put(layout.GRAPH, graph_text(manifest).encode())
        self._put(layout.LOCK, manifest.environment.lock.encode())
        self._put(layout.LOG, _lines(source.log()))
        self._put(layout.METRICS, _lines(source.metrics()))
        return manifest

    def plugins(self, source: Source, manifest: Manifest) -> None:
        """The plugins of each bundle."""
        bundles = {
            layout.plugin_folder(it.role, it.snapshot): it for it in manifest.plugins
        }
        for folder, one in bundles.items():
            target = self.folder / folder
            target.mkdir(parents=True)
            source.plugins(one, target)

    def artifacts(
        self, source: Source, manifest: Manifest, *, without: Mapping[str, int]
    ) -> None:
        """All artifacts but some files."""
        for one in manifest.inputs:
            self._artifact(layout.input_paths(one), without, partial(source.input, one))
        for output in manifest.outputs:
            paths = layout.output_paths(output)
            self._artifact(paths, without, partial(source.output, output))
        if without:
            lines = (layout.omitted_line(path) + "\n" for path in sorted(without))
            self._put(layout.OMITTED, "".join(lines).encode())

    def _artifact(
        self,
        paths: Sequence[str],
        without: Mapping[str, int],
        put: Callable[[Path], None],
    ) -> None:
        if all(path in without for path in paths):
            return
        kind, name, *_ = paths[0].split("/")
        target = self.folder / kind / name
        target.mkdir(parents=True)
        put(target)
        for path in paths:
            if path in without:
                (self.folder / path).unlink(missing_ok=True)

    def ancestors(
        self, ancestors: Ancestors, *, with_data: bool, max_size: int | None
    ) -> None:
        """The capsules of the jobs that it came from, as far as there can be any."""
        (self.folder / layout.ANCESTORS).mkdir()
        for job, source in ancestors.sources.items():
            path = layout.ancestor_path(job)
            left = None if max_size is None else max(0, max_size - self.data_bytes)
            try:
                made = self._ancestor(source, path, with_data=with_data, max_size=left)
            except (CapsuleError, BadManifest, NotFound) as error:
                self.missing[job] = str(error)
                continue
            self.made.append(path)
            self.omitted += [f"{path}: {omitted}" for omitted in made.omitted]
            self.omitted_bytes += made.omitted_bytes
            self.data_bytes += made.data_bytes
        missing = {str(job): why for job, why in self.missing.items()}
        document = {**ancestors.lineage, "missing": missing}
        text = json.dumps(document, indent=2, ensure_ascii=False)
        self._put(layout.LINEAGE, text.encode())

    def _ancestor(
        self, source: Source, path: str, *, with_data: bool, max_size: int | None
    ) -> Made:
        target = self.folder / path
        try:
            return make(source, target, with_data=with_data, max_size=max_size)
        except NotFound:
            if not with_data:
                raise
            # Its artifacts were deleted; the manifest still has their digests.
            return make(source, target, with_data=False)

    def crate(self, manifest: Manifest) -> None:
        """What other tools read."""
        files = [
            CrateFile(
                path=path.relative_to(self.folder).as_posix(),
                size=path.stat().st_size,
                sha256=archive.digest_of(path),
                what=_what(path.relative_to(self.folder)),
            )
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        ]
        there = {file.path for file in files}
        document = metadata(
            manifest,
            files,
            graph=layout.GRAPH,
            inputs={
                one.name: [it for it in layout.input_paths(one) if it in there]
                for one in manifest.inputs
            },
            outputs={
                one.name: [it for it in layout.output_paths(one) if it in there]
                for one in manifest.outputs
            },
        )
        text = json.dumps(document, indent=2, ensure_ascii=False)
        self._put(layout.CRATE, text.encode())

    def _put(self, path: str, data: bytes) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _to_leave_out(
    manifest: Manifest, *, with_data: bool, max_size: int | None
) -> dict[str, int]:
    """Which files of artifacts to leave out, with their sizes."""
    sizes = _data_sizes(manifest)
    if not with_data:
        return sizes
    left_out = {it: size for it, size in sizes.items() if not archive.can_hold(it)}
    if max_size is not None:
        kept = sum(sizes.values()) - sum(left_out.values())
        for path in sorted(sizes.keys() - left_out, key=lambda it: (-sizes[it], it)):
            if kept <= max_size:
                break
            left_out[path] = sizes[path]
            kept -= sizes[path]
    return left_out


def _data_sizes(manifest: Manifest) -> dict[str, int]:
    """The sizes of the files of artifacts, by their paths."""
    return {
        path: size
        for path, _, size in layout.digests(manifest)
        if not path.startswith(f"{layout.PLUGINS}/")
    }


def _what(path: Path) -> str:
    """What a file is, in words."""
    if path.parts[0] == layout.ANCESTORS:
        return "A job that the job came from, in a capsule of its own."
    return _WORDS.get(path.name, "")


def _lines(records: Iterable[Record] | Iterable[Point]) -> bytes:
    return b"".join(canonical(asdict(one)) + b"\n" for one in records)


def graph_text(manifest: Manifest) -> str:
    """The task graph of a manifest as a file that people can read and run."""
    graph = manifest.plan.ordered_graph
    plain = json.loads(canonical(graph))
    if steps := graph.get("graph"):
        plain["graph"] = {name: plain["graph"][name] for name in steps}
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text
