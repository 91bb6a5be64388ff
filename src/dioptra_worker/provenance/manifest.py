"""The manifest of a job: what was run on what, with what result, file by file.

It is one JSON document, which says of everything that made a result, and of everything
that is the result, how large it is and what its SHA-256 is. `dioptra_worker.daemon`
makes it as a job goes; whoever has it can say later whether something was changed or is
missing. Its shape is in ``manifest.schema.json`` beside this module.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping  # noqa: TC003 - `restored` reads annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from dioptra_worker.errors import WorkerError
from dioptra_worker.provenance.chain import EMPTY_CHAIN, canonical
from dioptra_worker.provenance.plain_records import plain, restored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jsonschema import Draft202012Validator

VERSION = 1
"""Which shape manifests of this version have."""
MAX_LEVELS = 200
"""Of a manifest; what the API answers, which is in it, has half of that at most."""
FOLDER = "dioptra"
"""Where, in the artifacts of a run, the worker keeps what it says of a job."""
FILE_NAME = "manifest.json"
LOG_FILE_NAME = "log.jsonl"
"""The log of a run without a server, a record a line: severity, logger, message."""
MANIFEST_TAG = "dioptra.manifest"
"""Has the SHA-256 of the manifest's bytes."""
EVIDENCE_FILE_NAME = "evidence.dsse"
"""What the worker has signed of a job, beside the manifest."""
EVIDENCE_TAG = "dioptra.evidence"
"""Has the SHA-256 of the evidence's bytes."""
RECEIPT_TAG = "dioptra.receipt"
"""Says whether all that was sent has arrived."""

Role = Literal["tasks", "artifacts", "reader"]
SaidBy = Literal["worker", "job"]


class BadManifest(WorkerError):
    """Something is no manifest that can be read here; the message says why.

    Attributes:
        place: Where in the document, such as ``log.segments[0].lines``; empty for all.
    """

    def __init__(self, message: str, *, place: str = "") -> None:
        self.place = place
        super().__init__(f"{place}: {message}" if place else message)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileDigest:
    """One file.

    Attributes:
        path: Where it is, with ``/``, below what it belongs to.
        size: Its bytes.
        sha256: The SHA-256 of its content in hex; empty where it could not be had.
        etag: What an S3 store says of it (``ETag``) once it has it; empty if unknown.
    """

    path: str
    size: int
    sha256: str
    etag: str = ""


def are_same(one: tuple[FileDigest, ...], other: tuple[FileDigest, ...]) -> bool | None:
    """Whether two artifacts have the same content.

    Args:
        one: The files of one.
        other: The files of the other.

    Returns:
        Whether they have; None where a digest is missing.
    """
    both = [{file.path: file.sha256 for file in files} for files in (one, other)]
    if not all(digests and all(digests.values()) for digests in both):
        return None
    return both[0] == both[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EntrypointFacts:
    """Which entrypoint a job ran."""

    id: int
    snapshot: int
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFacts:
    """The job, and how it went.

    Attributes:
        id: The job in the REST API; 0 for one without a server.
        experiment: Its experiment.
        group: The group that owns it; 0 if unknown.
        entrypoint: What it ran.
        queue: Where it came from.
        user: Who submitted it.
        submitted: When it came into the queue, in UTC; empty if unknown.
        started: When this attempt began.
        ended: When it ended.
        attempt: Which attempt this is, from 1.
        attempts: How many there have been.
        status: ``finished`` or ``failed``.
        cause: Why it failed; empty if it did not.
    """

    id: int
    experiment: int
    group: int
    entrypoint: EntrypointFacts
    queue: str
    user: str
    submitted: str
    started: str
    ended: str
    attempt: int
    attempts: int
    status: str
    cause: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerRunFacts:
    """The worker run that the job belongs to.

    Attributes:
        id: Its id; empty if it could not be made out.
        kind: ``queue`` or ``personal``.
        document: What the id is computed from (`WorkerRun.document`).
    """

    id: str
    kind: str = "queue"
    document: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """The job's run in MLflow; without one both are empty."""

    id: str = ""
    uri: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParameterValue:
    """The value of one parameter.

    Attributes:
        name: Its name.
        type: What its entrypoint declares, such as ``integer``; empty if nothing.
        value: The value as JSON; what JSON does not have, such as NaN, as text.
        default: The typed default; None if there is none.
    """

    name: str
    type: str
    value: Any
    default: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class WriterFacts:
    """An artifact task that can write outputs; see `ArtifactTask` of the protocol."""

    name: str
    package: str
    module: str
    plugin_snapshot: int
    task: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """What the job was to do.

    Attributes:
        graph: The task graph with its types, parameters and artifacts, as it was run.
        swaps: The chosen task alias by the swap's name.
        parameters: All values of parameters.
        artifact_parameters: Artifact and snapshot of each input, by name.
        writers: What could write output artifacts.
        steps: The steps of the graph in the order of the document, which decides which
            of two that do not need each other runs first; members of JSON have none.
    """

    graph: Mapping[str, Any]
    swaps: Mapping[str, str]
    parameters: tuple[ParameterValue, ...]
    artifact_parameters: Mapping[str, tuple[int, int]]
    writers: tuple[WriterFacts, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def ordered_graph(self) -> Mapping[str, Any]:
        """The task graph with its steps in the order of the document."""
        steps: Mapping[str, Any] = self.graph.get("graph", {})
        if set(steps) != set(self.steps):  # a document that says nothing of it
            return self.graph
        return {**self.graph, "graph": {name: steps[name] for name in self.steps}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PluginFile:
    """One file of a plugin, as it was unpacked for the job.

    Attributes:
        role: ``tasks`` for what the graph calls, ``artifacts`` for what writes outputs,
            ``reader`` for what reads an input.
        plugin: The plugin's name, the first folder of the path.
        snapshot: The plugin's snapshot; 0 where only the entrypoint's is known.
        path: The file within the bundle, such as ``my_plugin/tasks.py``.
        size: Its bytes.
        sha256: The SHA-256 of its content in hex.
    """

    role: Role
    plugin: str
    snapshot: int
    path: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputFacts:
    """One input artifact, and how it was read.

    Attributes:
        name: Its name in the task graph.
        artifact: The artifact; 0 for a file of a run without a server.
        snapshot: Its snapshot.
        uri: Where its store has it.
        file_name: Its file or folder.
        package: The plugin that read it.
        plugin_snapshot: That plugin's snapshot.
        module: That plugin's file without ``.py``.
        task: The class in it.
        outputs: The names of what reading it gave.
        files: Its files; the path of a single file is its name.
        changed: Whether somebody wrote to it while the job ran, so that the digests are
            perhaps not of what was read.
    """

    name: str
    artifact: int
    snapshot: int
    uri: str
    file_name: str
    package: str
    plugin_snapshot: int
    module: str
    task: str
    outputs: tuple[str, ...]
    files: tuple[FileDigest, ...]
    changed: bool = False

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return _is_dir(self.file_name, self.files)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputFacts:
    """One output artifact.

    Attributes:
        name: Its name in the task graph.
        uri: Where its store has it.
        files: Its files, below the URI; the path of a single file is its name.
        said_by: Who computed the digests: the job's own process does, as it uploads.
    """

    name: str
    uri: str
    files: tuple[FileDigest, ...]
    said_by: SaidBy = "job"

    @property
    def file_name(self) -> str:
        """Its file or folder."""
        name = self.uri.rstrip("/").rpartition("/")[2]
        return unquote(name) if self.uri.startswith("file:") else name

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return _is_dir(self.file_name, self.files)


def artifact_folder(name: str) -> str:
    """The folder that an output artifact has among the artifacts of its run.

    It is called like the artifact, unless that is what the worker calls its own.

    Args:
        name: The artifact's name in the task graph.
    """
    first, slash, rest = name.partition("/")
    return f"{FOLDER}~artifact{slash}{rest}" if first == FOLDER else name


def _is_dir(name: str, files: tuple[FileDigest, ...]) -> bool:
    return [file.path for file in files] != [name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricSeries:
    """The points of one metric.

    Attributes:
        points: How many passed through the worker to the REST API.
        chain: Their digest, in the order in which they came; see `provenance.chain`.
        steps: How many the API keeps of these: the last one of each step.
        kept: The digest of those, in the order of their steps.
        direct: How many the job said that it gave to MLflow itself.
    """

    points: int = 0
    chain: str = EMPTY_CHAIN
    steps: int = 0
    kept: str = EMPTY_CHAIN
    direct: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """All metric points of the job.

    Attributes:
        points: How many passed through the worker to the REST API.
        chain: Their digest, in the order in which they came.
        names: Each metric by its name.
    """

    points: int = 0
    chain: str = EMPTY_CHAIN
    names: Mapping[str, MetricSeries] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogSegment:
    """Lines of the job's log that one worker wrote without interruption.

    Attributes:
        worker: The worker.
        attempt: Its attempt at the job.
        previous: The chain of the segment before, with which this one begins; empty if
            there was none, or none that this worker knew of.
        lines: How many lines.
        chain: Their digest, in the log's order; see `provenance.chain`.
        first: The time that the first of them has; empty for none.
        last: The latest time that one of them has.
    """

    worker: str
    attempt: int
    previous: str = EMPTY_CHAIN
    lines: int = 0
    chain: str = EMPTY_CHAIN
    first: str = ""
    last: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogFacts:
    """The job's log up to its end; what is said after that is no part of it.

    Attributes:
        lines: How many lines.
        chain: The digest of the last segment.
        segments: One for each worker that wrote in it; more than one where a daemon was
            killed: what it said in its last moments is perhaps in none.
    """

    lines: int = 0
    chain: str = EMPTY_CHAIN
    segments: tuple[LogSegment, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnvironmentFacts:
    """What the job ran in.

    Attributes:
        python: Python's version.
        implementation: Which Python, such as ``CPython``.
        os: The operating system.
        cpu: How many processors of which kind.
        memory: How much memory the machine has.
        gpu: The models of NVIDIA's GPUs.
        driver: The version of their driver.
        packages: Versions of the installed packages, by name.
        lock: The same as a file of requirements, for ``pip`` and ``uv``.
    """

    python: str
    implementation: str
    os: str
    cpu: str
    memory: str
    gpu: tuple[str, ...]
    driver: str
    packages: Mapping[str, str]
    lock: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeterminismFacts:
    """What decides whether the same comes out again.

    Attributes:
        seed: What the random generators were seeded with that were loaded when the job
            began; empty if unknown.
        hash_seed: ``PYTHONHASHSEED``; empty means that hashes are of any order.
        variables: Variables that rule threads and frameworks, as the job had them when
            it began.
        frameworks: What the frameworks said at the job's end, which is its own word.
    """

    seed: str = ""
    hash_seed: str = ""
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    frameworks: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerFacts:
    """Who ran it.

    Attributes:
        name: The worker.
        version: The version of this package.
        image: The container image; empty if the worker was not told.
        revision: The revision of the image's or checkout's source.
        separation: Whether the job ran as another user than the worker, so that it
            could not reach what the worker has.
    """

    name: str
    version: str
    image: str = ""
    revision: str = ""
    separation: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlatformFacts:
    """The platform that the job is of; an empty version means that it did not tell."""

    version: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest of one attempt at a job."""

    job: JobFacts
    worker_run: WorkerRunFacts
    mlflow: TrackedRun
    plan: PlanFacts
    plugins: tuple[PluginFile, ...]
    inputs: tuple[InputFacts, ...]
    outputs: tuple[OutputFacts, ...]
    metrics: MetricFacts
    log: LogFacts
    environment: EnvironmentFacts
    determinism: DeterminismFacts
    worker: WorkerFacts
    platform: PlatformFacts

    def document(self) -> dict[str, Any]:
        """The manifest as what JSON can hold."""
        return {"manifest": VERSION, **plain(self)}

    def to_bytes(self) -> bytes:
        """The manifest as it is stored: canonical JSON and a newline."""
        return canonical(self.document()) + b"\n"


def split(data: bytes) -> tuple[bytes, bytes]:
    """A manifest's bytes and those behind it, which are what was signed of it.

    Args:
        data: What the store has: a manifest in one line, and maybe its evidence.
    """
    manifest, end, evidence = data.partition(b"\n")
    return manifest + end, evidence


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Args:
        data: What `Manifest.to_bytes` gave; any JSON of the same value is read, too.

    Raises:
        BadManifest: It is none, or of another version.
    """
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except RecursionError:
        raise BadManifest("it is nested too deeply") from None
    except ValueError as error:
        raise BadManifest(f"it is no JSON: {str(error)[:200]}") from None
    if _levels(found) > MAX_LEVELS:
        raise BadManifest("it is nested too deeply")
    return from_document(found)


def from_document(found: Any) -> Manifest:
    """Read a manifest of a document that JSON gave.

    Args:
        found: The parsed document.

    Raises:
        BadManifest: It is none, or of another version.
    """
    version = found.get("manifest") if isinstance(found, dict) else None
    if version is None:
        raise BadManifest("it is no manifest: it has no field 'manifest'")
    if version != VERSION or isinstance(version, bool):
        raise BadManifest(
            f"it is a manifest of version {version!r:.20}, and this worker reads"
            f" version {VERSION}: use the worker that has written it, or a newer one"
        )
    for error in _validator().iter_errors(found):
        raise BadManifest(error.message[:300], place=_place(error.absolute_path))
    rest = {name: value for name, value in found.items() if name != "manifest"}
    made: Manifest = restored(Manifest, rest)
    return made


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest; do not change what is returned."""
    file = Path(__file__).with_name("manifest.schema.json")
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


@functools.cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to import

    return Draft202012Validator(schema())


def _place(path: Iterable[str | int]) -> str:
    place = ""
    for part in path:
        dotted = f".{part}" if place else str(part)
        place += f"[{part}]" if isinstance(part, int) else dotted
    return place


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; two readers of one with a name twice would not see the same."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has two members of one name")
    return found


def _levels(found: Any) -> int:
    """How many levels a document has, or so many that it is too deep."""
    level, count = [found], 0
    while level and count <= MAX_LEVELS:
        inner = (it.values() if isinstance(it, dict) else it for it in level)
        level = [it for each in inner for it in each if isinstance(it, dict | list)]
        count += 1
    return count
