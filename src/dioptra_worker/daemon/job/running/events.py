"""Where what a runner says goes: the job's log, its outbox, its clock, an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.daemon.job.preparation import if_ready
from dioptra_worker.daemon.job.running.output_artifacts import OutputArtifacts
from dioptra_worker.protocol.messages import (
    ArtifactStored,
    Log,
    Message,
    Metric,
    RunnerMessage,
    RunStarted,
    ServiceState,
    StepEnded,
    StepStarted,
)
from dioptra_worker.supervision.channel.message_limits import NotBelieved
from dioptra_worker.supervision.channel.step_records import StepRecords
from dioptra_worker.supervision.job_users.missing_rights import tells_of_missing_rights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.daemon.health.state import HealthState
    from dioptra_worker.daemon.job.preparation import Prepared
    from dioptra_worker.daemon.outbox.job_log import JobLog
    from dioptra_worker.daemon.outbox.outbox import Outbox
    from dioptra_worker.protocol.messages import OutputStream, Severity
    from dioptra_worker.supervision.record.job_record import JobRecord
    from dioptra_worker.supervision.time_limit import JobClock


class RunnerEvents:
    """Routes what a runner says, in the supervisor's thread: nothing here waits.

    Attributes:
        run_id: The job's MLflow run, once the runner has made it.
        has_waited_for_mlflow: Whether MLflow did not answer it at first. Then there may
            be a second run, of a request that was given up and arrived all the same.
        lacked_rights: Whether something the job says is about what it may not do.
    """

    def __init__(
        self,
        *,
        job_log: JobLog,
        outbox: Outbox,
        clock: JobClock,
        health: HealthState,
        prepared: Future[Prepared],
        handlers: Mapping[type[Message], Callable[[Any], None]],
        mask: Mask,
        record: JobRecord,
        log_level: str = "INFO",
    ) -> None:
        """Prepare.

        Args:
            job_log: Takes lines.
            outbox: Takes results.
            clock: Is told when the runner has its MLflow run.
            health: Is told which service the runner waits for.
            prepared: What the runner is given, once it is there.
            handlers: Who answers what the runner asks, by the request's type.
            mask: Hides secrets in text.
            record: Is told what the job's manifest has to say.
            log_level: The least severity that the job's log is to have.
        """
        self.run_id: str | None = None
        self.has_waited_for_mlflow = False
        self.lacked_rights = False
        self._log = job_log
        self._mask = mask
        self._record = record
        self._outbox = outbox
        self._clock = clock
        self._health = health
        self._prepared = prepared
        self._handlers = handlers
        self._steps = StepRecords(self._task_graph)
        self._artifacts = OutputArtifacts(prepared)
        self._tells_steps = log_level in {"DEBUG", "INFO"}

    @property
    def step(self) -> str | None:
        """The step of the task graph that runs."""
        return self._steps.running

    def message(self, message: RunnerMessage) -> None:
        """A message from the runner.

        Raises:
            NotBelieved: It is not what the job's plan lets it say.
            LimitReached: It asks too much.
        """
        message = self._mask.record(message)
        self._record.message(message)
        match message:
            case Log():
                self._put(message)
            case Metric():
                self._outbox.put(message)
            case ArtifactStored():
                stored = self._artifacts.labelled(message)
                self._record.stored(stored)
                self._outbox.put(stored)
            case RunStarted(run_id=run_id, artifact_uri=uri):
                self.run_id = run_id
                self._artifacts.uri = uri
                self._outbox.put(message)
                self._clock.is_ready("run")
            case StepStarted():
                self._tell(self._steps.started(message))
            case StepEnded():
                self._tell(self._steps.ended(message))
            case ServiceState(service=service, away=away):
                if away and self.run_id is None:
                    self.has_waited_for_mlflow = True
                self._health.contact(service, ok=not away)
            case _ if handler := self._handlers.get(type(message)):
                handler(message)

    def refused(self, words: str) -> None:
        """Why a message is ignored."""
        text = f"a message in the name of the job's runner is ignored: {words}"
        self._log.say("WARNING", text)

    def line(self, stream: OutputStream, text: str) -> None:
        """A line that the job or a process of it wrote."""
        severity: Severity = "INFO" if stream == "stdout" else "WARNING"
        self._put(Log(severity=severity, logger=stream, message=text))

    def _put(self, record: Log) -> None:
        self.lacked_rights |= tells_of_missing_rights(record.message)
        self._log.put(record)

    def _tell(self, record: Log | None) -> None:
        """Say of a step what is true of it."""
        if record is None:
            raise NotBelieved("the job has no such step just now")
        if self._tells_steps:
            self._log.put_own(record)

    def _task_graph(self) -> Mapping[str, Any] | None:
        prepared = if_ready(self._prepared)
        return None if prepared is None else prepared.plan.config
