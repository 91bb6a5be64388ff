"""What came of a run: steps, metrics, artifacts and the log, gathered as it goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from dioptra_worker.common.job_loggers import name_of_job
from dioptra_worker.protocol.messages import (
    OWN_LOGGER,
    ArtifactStored,
    Log,
    Metric,
    RunnerMessage,
    RunStarted,
    StepEnded,
    StepStarted,
)
from dioptra_worker.supervision.channel.message_limits import NotBelieved
from dioptra_worker.supervision.channel.step_records import StepRecords
from dioptra_worker.supervision.record.job_record import JobRecord, now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.protocol.messages import OutputStream, Severity
    from dioptra_worker.supervision.channel.runner_output import RunnerListener


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that ran.

    Attributes:
        name: Its name.
        task: The task that it called.
        seconds: How long it took; None when it did not come to its end.
    """

    name: str
    task: str
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """The last value of a metric, and its step.

    Attributes:
        value: The value, in the unit that the task reports it in.
        step: Where in the series; 0 when the task gave none.
    """

    value: float
    step: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the log.

    Attributes:
        severity: ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR`` or ``CRITICAL``.
        logger: Who says it: a logger's name, ``stdout`` or ``stderr``.
        message: What is said.
        time: When it came, in UTC.
    """

    severity: Severity
    logger: str
    message: str
    time: str = field(default_factory=now)

    def __str__(self) -> str:
        return f"{self.severity} {self.logger}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a run.

    Attributes:
        entrypoint: The entrypoint's name.
        status: ``finished`` or ``failed``, as the platform would say.
        reason: Why it failed, in words.
        seconds: How long it took, from its beginning to its end.
        run_id: Its MLflow run.
        parameters: The value of each parameter.
        steps: The steps that ran, in order.
        outputs: What each step returned, by its outputs' names; only of a run in the
            same process.
        metrics: The last value of each metric.
        artifacts: Where each output artifact lies, by its name: a URI.
        lines: The log, in order.
    """

    entrypoint: str
    status: str
    reason: str
    seconds: float
    run_id: str | None
    parameters: Mapping[str, Any]
    steps: tuple[Step, ...]
    outputs: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, MetricValue]
    artifacts: Mapping[str, str]
    lines: tuple[Line, ...]

    @property
    def finished(self) -> bool:
        """Whether all went well."""
        return self.status == "finished"

    @property
    def log(self) -> str:
        """The log as text: one message below the other."""
        return "\n".join(line.message for line in self.lines)

    def artifact(self, name: str) -> Path:
        """The file or folder of an artifact that lies on this machine.

        Args:
            name: The artifact's name in the task graph.

        Raises:
            KeyError: The run has made no such artifact.
            ValueError: It does not lie on this machine.
        """
        return as_path(self.artifacts[name])


@dataclass
class Recorder:
    """Gathers what a run says, and passes it on.

    Attributes:
        listener: Who hears it, too.
        config: The task graph, whose steps count; None while it is not known.
        record: What the run's manifest has to say.
    """

    listener: RunnerListener | None = None
    config: Mapping[str, Any] | None = None
    run_id: str | None = None
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: dict[str, MetricValue] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    record: JobRecord = field(default_factory=JobRecord)

    def __post_init__(self) -> None:
        self._records = StepRecords(lambda: self.config)

    def message(self, message: RunnerMessage) -> None:
        """Take a message from the runner.

        Raises:
            NotBelieved: There is no such step.
        """
        self.record.message(message)
        match message:
            case RunStarted(run_id=run_id):
                self.run_id = run_id
            case StepStarted(step=step, task=task):
                self._keep(self._records.started(message))
                self.steps.append(Step(name=step, task=task))
            case StepEnded(seconds=seconds):
                self._keep(self._records.ended(message))
                self.steps[-1] = replace(self.steps[-1], seconds=seconds)
            case Metric():
                self.record.metrics.add(message)
                self._show(message)
                return
            case ArtifactStored(name=name, uri=uri):
                self.record.stored(message)
                self.artifacts[name] = uri
            case Log(logger=logger):
                named = replace(message, logger=name_of_job(logger))
                self.lines.append(_line(named))
            case _:
                return
        if self.listener is not None:
            self.listener.message(message)

    def refused(self, words: str) -> None:
        """Take why a message is ignored."""
        text = f"a message in the name of the job's runner is ignored: {words}"
        self.say(text)

    def say(self, words: str) -> None:
        """Take a warning of the worker's own."""
        line = Line(severity="WARNING", logger=OWN_LOGGER, message=words)
        self.lines.append(line)
        if self.listener is not None:
            self.listener.refused(words)

    def _keep(self, record: Log | None) -> None:
        """Keep what is said of a step."""
        if record is None:
            raise NotBelieved("the job has no such step just now")
        self.lines.append(_line(record))

    def metric(self, name: str, value: float, step: int) -> None:
        """Take the last value of a metric, which may be known already."""
        found = MetricValue(value=value, step=step)
        if str(self.metrics.get(name)) != str(found):  # NaN is not equal to itself
            self._show(Metric(name=name, value=value, step=step))

    def _show(self, point: Metric) -> None:
        value = MetricValue(value=float(point.value), step=point.step or 0)
        self.metrics[point.name] = value
        if self.listener is not None:
            self.listener.message(point)

    def line(self, stream: OutputStream, text: str) -> None:
        """Take a line that the job wrote."""
        severity: Severity = "INFO" if stream == "stdout" else "WARNING"
        self.lines.append(Line(severity=severity, logger=stream, message=text))
        if self.listener is not None:
            self.listener.line(stream, text)

    def returned(self, step: str, outputs: Mapping[str, Any]) -> None:
        """Take what a step returned."""
        self.outputs[step] = dict(outputs)

    def result(
        self,
        *,
        entrypoint: str,
        parameters: Mapping[str, Any],
        reason: str,
        seconds: float,
    ) -> Result:
        """Sum it up; without a *reason* the run has finished."""
        return Result(
            entrypoint=entrypoint,
            status="failed" if reason else "finished",
            reason=reason,
            seconds=seconds,
            run_id=self.run_id,
            parameters=parameters,
            steps=tuple(self.steps),
            outputs=self.outputs,
            metrics=self.metrics,
            artifacts=self.artifacts,
            lines=tuple(self.lines),
        )


def _line(record: Log) -> Line:
    return Line(severity=record.severity, logger=record.logger, message=record.message)


def as_path(uri: str) -> Path:
    """The path that a file URI means.

    Raises:
        ValueError: It is no file URI.
    """
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ValueError(f"{uri} is no file of this machine")
    return Path(unquote(parts.path))
