"""What a runner says, on its way to the outbox: masked and made sendable."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.common.humanize import duration
from dioptra_worker.common.outage_log import OutageLog
from dioptra_worker.daemon.job.batch_claims import BatchClaims
from dioptra_worker.daemon.outbox.items import OWN_LOGGER
from dioptra_worker.errors import ServiceError
from dioptra_worker.protocol.messages import (
    ArtifactStored,
    BatchClaimReply,
    BatchClaimRequest,
    Log,
    Message,
    Metric,
    RunStarted,
    ServiceState,
    SessionReply,
    SessionRequest,
)
from dioptra_worker.supervision.termination import StopRequest

if TYPE_CHECKING:
    from dioptra_worker.broker.job_request import JobRequest
    from dioptra_worker.common.outcome import Outcome
    from dioptra_worker.daemon.job.context import Services
    from dioptra_worker.daemon.outbox.outbox import Outbox
    from dioptra_worker.protocol.messages import OutputStream, Severity

log = logging.getLogger("dioptra_worker.conversation")


class RunnerControl(Protocol):
    """Whom the runner is reached through: its `Supervisor`."""

    def send(self, message: Message) -> None:
        """Tell it something."""
        ...

    def stop(self, stop: StopRequest) -> None:
        """Stop it."""
        ...

    def set_deadline(self, seconds: float | None, stop: StopRequest) -> None:
        """Stop it after a while."""
        ...


@dataclass
class RunnerEvents:
    """Passes on what a runner says: to the outbox, masked."""

    order: JobRequest
    services: Services
    outbox: Outbox = field(init=False)
    supervisor: RunnerControl | None = None
    group_id: int = 0
    run_id: str | None = None
    worker_run: str = ""
    claims: BatchClaims | None = None
    planned: bool = False

    def message(self, message: Message) -> None:
        """A message from the runner."""
        match message:
            case Log():
                self._record(message)
            case Metric():
                self.outbox.put(message)
            case ArtifactStored():
                self.outbox.put(replace(message, worker_run=self.worker_run))
            case RunStarted(run_id=run_id):
                self.run_id = run_id
                self.outbox.put(message)
                self.begin_limit()
            case BatchClaimRequest():
                self._claims(message)
            case ServiceState(service=service, away=away):
                self.services.health.contact(service, ok=not away)
            case SessionRequest():
                threading.Thread(
                    target=self._answer, args=[message], daemon=True
                ).start()
            case _:
                log.debug("job %d: %s", self.order.job_id, message)

    def line(self, stream: OutputStream, text: str) -> None:
        """A line that the job or a process of it wrote."""
        severity: Severity = "INFO" if stream == "stdout" else "WARNING"
        self._record(Log(severity=severity, logger=stream, message=text))

    def say(self, severity: Severity, text: str) -> None:
        """A line of the worker's own in the job's log, and in the worker's."""
        log.log(
            logging.getLevelNamesMapping()[severity],
            "job %d: %s",
            self.order.job_id,
            text,
        )
        self.tell(severity, text)

    def tell(self, severity: Severity, text: str) -> None:
        """A line of the worker's own in the job's log only."""
        self._record(Log(severity=severity, logger=OWN_LOGGER, message=text))

    def limit_set_up(self, seconds: float, stop: StopRequest) -> None:
        """Hold the set-up deadline, unless the set-up is over."""
        if self.supervisor is not None and not (self.planned and self.run_id):
            self.supervisor.set_deadline(seconds, stop)

    def begin_limit(self) -> None:
        """Start the job's clock, once its runner and its plan are both there.

        Until then the set-up deadline holds: waiting for a service is not the job's
        time.
        """
        if self.supervisor is None or self.run_id is None or not self.planned:
            return
        limit = self.order.timeout
        words = f"timed out after its limit of {duration(limit or 0)}"
        self.supervisor.set_deadline(limit, StopRequest("timeout", words))

    def conclude(self, verdict: Outcome) -> None:
        """The last line of the log."""
        if verdict.fate == "finished":
            self.say("INFO", "the job finished")
        else:
            word = "was stopped" if verdict.fate == "stopped" else "failed"
            self.say("ERROR", f"the job {word}: {verdict.reason}")

    def abandon(self, reason: str) -> None:
        """Let go of the elements that the ended job was working on."""
        if self.claims is not None:
            self.claims.close(reason or "its job ended")

    def _claims(self, wanted: BatchClaimRequest) -> None:
        supervisor = self.supervisor
        if supervisor is None:
            return
        if not self.worker_run:  # nothing that jobs could share their record by
            answer = BatchClaimReply(request_id=wanted.request_id, outcome="off")
            supervisor.send(answer)
            return
        if self.claims is None:
            self.claims = BatchClaims(
                self.services.leases.activities(self.worker_run),
                job=self.order.job_id,
                token=self.run_id or uuid.uuid4().hex,
                answer=supervisor.send,
                outages=OutageLog(self.tell),
            )
        self.claims.ask(wanted)

    def _record(self, record: Log) -> None:
        mask = self.services.mask
        logger, text = mask(record.logger), mask(record.message)
        self.outbox.put(
            replace(record, logger=_sendable(logger), message=_sendable(text))
        )

    def _answer(self, wanted: SessionRequest) -> None:
        """Give the runner our session with the API."""
        api = self.services.api
        cookies: dict[str, str] = {}
        trouble = None
        try:
            cookies = api.cookies(renew=wanted.renew)
        except ServiceError as error:
            trouble = str(error)
        if self.supervisor is not None:
            self.supervisor.send(
                SessionReply(
                    request_id=wanted.request_id,
                    url=api.url,
                    cookies=cookies,
                    error=trouble,
                )
            )


def _sendable(text: str) -> str:
    """Text that JSON over UTF-8 and the API's database can hold, as they keep it."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return text.replace("\r\n", "\n").replace("\r", "\n")
