"""What a job may make the worker keep, and which of its messages are believed.

Whoever has a runner's socket can write to it: a plugin can say what it likes in the
runner's name. What is checked here needs no knowledge of the job; what must be compared
with its plan, the daemon compares.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError
from dioptra_worker.protocol.messages import (
    MAX_ELEMENT,
    MAX_ELEMENT_ERROR,
    MAX_IMPORTS,
    ArtifactStored,
    BatchClaimRequest,
    DirectMetric,
    JobFact,
    Log,
    Metric,
    ModuleImported,
    OutputFile,
    RunnerResult,
    RunStarted,
    ServiceState,
    StepEnded,
    StepStarted,
    VariableTooLate,
)
from dioptra_worker.protocol.metric_rules import name_problem, value_problem
from dioptra_worker.protocol.run_rules import (
    MAX_URI,
    artifacts_problem,
    run_id_problem,
)

if TYPE_CHECKING:
    from dioptra_worker.protocol.messages import RunnerMessage

MAX_MESSAGE_BYTES = 16 << 20
"""Bytes of one message; of a long text the runner makes several."""
MAX_UNENDED_BYTES = 64 << 20
"""Bytes of messages that a job's processes have begun and not ended."""
MAX_METRICS = 200_000
"""Metrics of one job: each is a request to the REST API of about 20 ms."""
MAX_BATCH_TEXT = 128 << 20
"""Characters that a job may have kept in Redis: of batch elements and their errors."""
MAX_FILE_TEXT = 32 << 20
"""Characters of the paths of a job's output files, all of which are kept to its end."""
MAX_OPEN_REQUESTS = 1000
"""Questions to the worker that a job may have open at the same time."""
MAX_REFUSALS = 1000
"""Messages that are not a job's own until it fails for them."""
MAX_REASON = 10_000
"""Characters of why a job failed; what is longer is cut, and in full in its log."""
MAX_OUTPUT_FILES = 100_000
"""Files of output artifacts of one job whose digests are kept."""
MAX_FACTS = 200
"""Facts of a job that decide whether its results come out alike again."""
MAX_DIRECT_METRICS = 10_000
"""Metrics of one job that it gave to MLflow itself and that are counted."""
MAX_FACT = 1000
"""Characters of a fact; what is longer is cut."""
MAX_PATH = 4096
"""Characters of the path of a file in an artifact."""
MAX_MODULE_NAME = 200
"""Characters of a module's full name."""
LONGEST_IMPORT = 600.0
"""Seconds that the import of a module is believed to have taken at most."""
MAX_NAME = 1000
"""Characters of a logger's or a step's name; what is longer is cut."""

_SHA256 = re.compile("[0-9a-f]{64}")
_ETAG = re.compile("([0-9a-f]{32}(-[0-9]{1,5})?)?")

SERVICES = {"MLflow", "the artifact store"}
"""What a runner waits for."""


class LimitReached(WorkerError):
    """A job took more of the worker than a job may; the message says of what."""


class NotBelieved(WorkerError):
    """A message that cannot be what a runner says; the message says why."""


class MessageChecks:
    """Looks at what comes from one runner, in its order."""

    def __init__(self) -> None:
        self._has_run = False
        self._is_over = False
        self._metrics = 0
        self._batch_text = self._file_text = 0
        self._imports = 0
        self._output_files = self._facts = self._direct_metrics = 0
        self._refusals = 0

    def checked(self, message: RunnerMessage) -> RunnerMessage:
        """A message as it is believed: shortened where it is longer than any need be.

        Raises:
            NotBelieved: The message is to be ignored.
            LimitReached: So is it, and the job fails.
        """
        message = _shortened(message)
        match message:
            case Metric():
                self._check_metric(message)
            case RunStarted():
                self._check_run(message)
            case ArtifactStored() | OutputFile():
                self._check_artifact(message)
            case JobFact() | DirectMetric():
                self._check_fact(message)
            case ServiceState() if message.service not in SERVICES:
                raise NotBelieved(f"no job waits for {message.service!r:.80}")
            case BatchClaimRequest():
                self._check_claim(message)
            case ModuleImported():
                self._check_import(message)
            case RunnerResult():
                if self._is_over:
                    raise NotBelieved("a job ends once")
                self._is_over = True
        return message

    def count_refusal(self) -> int:
        """Count a message that is not believed; how many those were.

        Raises:
            LimitReached: Those are too many.
        """
        self._refusals += 1
        if self._refusals > MAX_REFUSALS:
            raise LimitReached(
                f"it sent the worker more than {MAX_REFUSALS:,} messages that are"
                " not its own to send"
            )
        return self._refusals

    def _check_metric(self, message: Metric) -> None:
        problem = name_problem(message.name) or value_problem(message.value)
        if problem:
            raise NotBelieved(problem)
        self._metrics += 1
        if self._metrics > MAX_METRICS:
            raise LimitReached(
                f"it made more than {MAX_METRICS:,} metrics, each of which is a request"
                " to the REST API: make fewer, as every tenth, or keep them in MLflow"
            )

    def _check_run(self, message: RunStarted) -> None:
        # The first comes before any code of a plugin runs.
        if self._has_run:
            raise NotBelieved(
                f"the job has its MLflow run, and {message.run_id!r:.80} is none of its"
            )
        uri = message.artifact_uri
        if problem := run_id_problem(message.run_id) or artifacts_problem(uri):
            raise NotBelieved(problem)
        self._has_run = True

    def _check_fact(self, message: JobFact | DirectMetric) -> None:
        if isinstance(message, JobFact):
            self._facts += 1
            if self._facts > MAX_FACTS:
                raise NotBelieved("no job has that many facts")
            return
        self._direct_metrics += 1
        if self._direct_metrics > MAX_DIRECT_METRICS or message.points < 0:
            raise NotBelieved("no job has that many metrics in MLflow")

    def _check_artifact(self, message: ArtifactStored | OutputFile) -> None:
        if isinstance(message, ArtifactStored):
            if len(message.name) > MAX_NAME or len(message.uri) > MAX_URI:
                raise NotBelieved("an artifact's name or address is too long")
            return
        self._output_files += 1
        self._file_text += len(message.artifact) + len(message.path)
        if (
            self._output_files > MAX_OUTPUT_FILES
            or self._file_text > MAX_FILE_TEXT
            or len(message.artifact) > MAX_NAME
            or len(message.path) > MAX_PATH
            or "\0" in message.path
            or {"", ".", ".."} & {*message.path.split("/")}
            or message.size < 0
            or _SHA256.fullmatch(message.sha256) is None
            or _ETAG.fullmatch(message.etag) is None
        ):
            raise NotBelieved(f"no runner stores the file {message.path!r:.80}")

    def _check_import(self, message: ModuleImported) -> None:
        parts = message.module.split(".")
        self._imports += 1
        if (
            self._imports > 2 * MAX_IMPORTS  # those it waited for, and the others
            or len(message.module) > MAX_MODULE_NAME
            or not all(part.isascii() and part.isidentifier() for part in parts)
            or message.seconds < 0
        ):
            raise NotBelieved(f"no runner tells of an import of {message.module!r:.80}")

    def _check_claim(self, message: BatchClaimRequest) -> None:
        if len(message.element) > MAX_ELEMENT:
            raise LimitReached(
                f"the id of a batch element has {len(message.element):,} characters;"
                f" use at most {MAX_ELEMENT:,}"
            )
        self._batch_text += len(message.element) + len(message.error)
        if self._batch_text > MAX_BATCH_TEXT:
            raise LimitReached(
                f"the elements of its batch and their errors have more than"
                f" {MAX_BATCH_TEXT:,} characters: split it, or use shorter ids"
            )


def _shortened(message: RunnerMessage) -> RunnerMessage:
    """A message with texts for people that are no longer than any need be."""
    match message:
        case Log(logger=logger):
            if len(logger) > MAX_NAME:
                return replace(message, logger=shortened(logger, MAX_NAME))
        case StepStarted(step=step, task=task):
            step, task = shortened(step, MAX_NAME), shortened(task, MAX_NAME)
            return replace(message, step=step, task=task)
        case StepEnded(step=step):
            return replace(message, step=shortened(step, MAX_NAME))
        case ModuleImported(seconds=seconds):
            return replace(message, seconds=min(seconds, LONGEST_IMPORT))
        case BatchClaimRequest(error=error):
            return replace(message, error=shortened(error, MAX_ELEMENT_ERROR))
        case JobFact(name=name, value=value):
            name, value = shortened(name, MAX_NAME), shortened(value, MAX_FACT)
            return replace(message, name=name, value=value)
        case DirectMetric(name=name) | VariableTooLate(name=name):
            return replace(message, name=shortened(name, MAX_NAME))
        case RunnerResult(reason=reason):
            return replace(message, reason=shortened(reason, MAX_REASON))
    return message


def shortened(text: str, limit: int) -> str:
    """A text, cut where it is longer than its limit."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
