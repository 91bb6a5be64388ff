"""What the daemon and a runner say to each other: the plan, and messages.

A runner sends events and requests; the daemon sends the plan and replies. Every record
is frozen; `dioptra_worker.protocol.codec` writes them down. A reply carries the
`request_id` of its request, which the runner counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping  # noqa: TC003 - the codec reads the annotations
from typing import Any, Literal, get_args

Severity = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
SEVERITIES: tuple[str, ...] = get_args(Severity)

Ending = Literal["finished", "failed", "stopped"]
OutputStream = Literal["stdout", "stderr"]
FactKind = Literal["seed", "variable", "framework"]
BatchElementState = Literal["queued", "started", "processed", "error"]

OWN_LOGGER = "dioptra_worker"
"""The logger of what the worker itself says in a job's log, and nobody else."""
STEP_LOGGER = f"{OWN_LOGGER}.job"
"""The logger of what the worker says of a job's steps."""

MAX_IMPORTS = 32
"""Imports of one job that are told; those that took longest."""
MAX_ELEMENT = 1000
"""Characters of a batch element's id."""
MAX_ELEMENT_ERROR = 2000
"""Characters of why a batch element failed; what is longer is cut."""

NO_JOB = 0
"""The job's id in a run without a server, which no server gives."""

EXIT_DISCONNECTED = 113
"""The exit code of a runner that user code has cut off from the daemon."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtifactTask:
    """How a kind of output artifact is written, and what the API calls it.

    Attributes:
        name: The class's name, which task graphs use.
        package: The plugin's name, a folder in the bundle.
        module: The plugin file's name without ``.py``.
        plugin_snapshot_id: The snapshot of the plugin that has the class.
        task_id: The API's id of the artifact task.
    """

    name: str
    package: str
    module: str
    plugin_snapshot_id: int
    task_id: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputArtifact:
    """One artifact that a job reads, already on disk.

    Attributes:
        name: Its name in the task graph.
        directory: The folder that holds it.
        file_name: Its file or folder within *directory*.
        bundle: The folder with the code of the plugin snapshot that wrote it.
        package: The plugin's name, a folder in the bundle.
        module: The plugin file's name without ``.py``.
        task: The class that reads it.
        outputs: The names of the values that reading it gives.
        artifact_id: The API's id of it.
    """

    name: str
    directory: str
    file_name: str
    bundle: str
    package: str
    module: str
    task: str
    outputs: tuple[str, ...]
    artifact_id: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a runner needs to run one job.

    Attributes:
        job_id: The job's id in the API.
        entrypoint: The entrypoint's name.
        config: The task graph with its types, parameters and artifacts.
        parameters: The job's values for the graph's global parameters.
        artifact_tasks: What can write output artifacts.
        inputs: The artifacts that the job reads.
        plugins: The folder with the plugins of the graph's tasks.
        artifact_plugins: The folder with the plugins of the artifact tasks.
        defaults: The typed defaults of all the entrypoint's parameters, by name; None
            for one without. The task graph has those of the parameters that it uses.
        stamp: Tags for the MLflow run, by name: what worker run the job belongs to.
    """

    job_id: int
    entrypoint: str
    config: Mapping[str, Any]
    parameters: Mapping[str, Any]
    artifact_tasks: tuple[ArtifactTask, ...]
    inputs: tuple[InputArtifact, ...]
    plugins: str
    artifact_plugins: str
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stamp: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """First message to a runner: which job it is, before its plan is known.

    Attributes:
        job_id: The job's id in the API.
        directory: The job's folder, to be the current directory.
        api_url: The base URL of the Dioptra REST API.
        log_level: The least severity of log records to send.
        grace: Seconds between being told to stop and being killed.
        folder: The folder to keep the run in instead of an MLflow server.
        token: What no other start has: the MLflow run is found by it, whether or not
            the runner lives to tell its id.
        temporary: The job's folder for temporary files; empty for everybody's.
        address: The socket where processes of the job find the worker; empty if there
            is none.
        again: Whether a runner was lost that was told the same, and that has perhaps
            created the MLflow run.
    """

    job_id: int
    directory: str
    api_url: str
    log_level: str
    grace: float
    folder: str | None = None
    token: str = ""
    temporary: str = ""
    address: str = ""
    again: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunStarted:
    """The runner has created the job's MLflow run.

    Attributes:
        run_id: The run's id.
        artifact_uri: Where the run's artifacts go; the API is not told.
    """

    run_id: str
    artifact_uri: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanTaken:
    """The runner has its plan: from now on code of the job's plugins may run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepStarted:
    """A step of the task graph begins; *index* counts from 1."""

    step: str
    task: str
    index: int
    total: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepEnded:
    """A step of the task graph has returned after *seconds*."""

    step: str
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log:
    """One record of the job's log, as text for people (not escaped)."""

    severity: Severity
    logger: str
    message: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """Text that Python code of the job wrote to ``stdout`` or ``stderr``."""

    stream: OutputStream
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtifactStored:
    """An output artifact lies in the run's artifact store at *uri*.

    Attributes:
        worker_run: The worker run that made it; the daemon says so, not the runner.
        group_id: The job's group, if known; the daemon says so, not the runner.
    """

    name: str
    uri: str
    plugin_snapshot_id: int
    task_id: int
    worker_run: str = ""
    group_id: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputFile:
    """One file of an output artifact, told before the artifact is `ArtifactStored`.

    Attributes:
        artifact: The artifact's name in the task graph.
        path: The file's place in it; of an artifact that is one file, its name.
        size: Its bytes.
        sha256: The SHA-256 of its content in hex.
        etag: What an S3 store is to say of it; empty for other stores.
    """

    artifact: str
    path: str
    size: int
    sha256: str
    etag: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFact:
    """Something that decides whether a job's results come out alike again.

    Attributes:
        kind: ``seed`` and ``variable`` are told before any plugin's code runs,
            ``framework`` at the job's end.
        name: Of what; empty for the seed.
        value: What it was; empty for a variable that was not set.
    """

    kind: FactKind
    name: str
    value: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirectMetric:
    """So many points of a metric the job gave to MLflow itself; told at its end."""

    name: str
    points: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric for the API; NaN and infinities are given as text."""

    name: str
    value: float | str
    step: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServiceState:
    """The runner begins to wait for a service (*away*), or need not any more."""

    service: str
    away: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionRequest:
    """The runner asks for the daemon's API session; *renew* after a 401."""

    request_id: int
    renew: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionReply:
    """Answers `SessionRequest`: cookies by name, or why there are none."""

    request_id: int
    url: str
    cookies: Mapping[str, str]
    error: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchClaimRequest:
    """The runner claims an element of a batch, or says what became of it.

    Attributes:
        element: The element's id.
        state: ``started`` to claim it; ``processed``, ``error`` or ``queued`` (let go
            of it) afterwards.
        error: Why it failed.
        last: Whether to claim also an element under which a job was lost before.
    """

    request_id: int
    element: str
    state: BatchElementState
    error: str = ""
    last: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchClaimReply:
    """Answers `BatchClaimRequest`.

    Attributes:
        outcome: ``granted``, ``held``, ``processed`` or ``postponed`` for a claim;
            ``settled`` or ``lost`` otherwise; ``off`` when nothing is recorded.
    """

    request_id: int
    outcome: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModuleImported:
    """How long the job waited for the import of a module; told at its end.

    Attributes:
        module: The module's full name.
        seconds: How long its import took, with all that it imported.
        saved: Whether it did not wait: the fork server had imported it beforehand.
    """

    module: str
    seconds: float
    saved: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariableTooLate:
    """The job set a variable that a module has read before it; told at once.

    Attributes:
        name: The variable.
    """

    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunnerResult:
    """The runner's last word: how the job ended, seen from inside.

    Attributes:
        ending: What happened.
        reason: One sentence, empty when all went well.
        run_closed: Whether the MLflow run has its final status.
    """

    ending: Ending
    reason: str
    run_closed: bool


RunnerMessage = (
    RunStarted
    | PlanTaken
    | StepStarted
    | StepEnded
    | Log
    | Output
    | ArtifactStored
    | OutputFile
    | JobFact
    | DirectMetric
    | Metric
    | ServiceState
    | SessionRequest
    | BatchClaimRequest
    | ModuleImported
    | VariableTooLate
    | RunnerResult
)
"""What a runner says: flat records, which can be read whoever has written them."""

ChildMessage = Log | Output | Metric | SessionRequest | BatchClaimRequest
"""What any process of a job may say, and not only the runner."""

Message = Start | Plan | SessionReply | BatchClaimReply | RunnerMessage
