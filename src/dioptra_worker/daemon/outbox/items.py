"""What travels from a job to the REST API, and how it is written down."""

from __future__ import annotations

from dioptra_worker.api.models import LogRecord
from dioptra_worker.protocol.codec import decode, encode
from dioptra_worker.protocol.messages import ArtifactStored, Log, Metric, RunStarted

OWN_LOGGER = "dioptra_worker"
"""The logger of the worker's own few lines, which are never dropped."""

Result = Metric | ArtifactStored | RunStarted
"""Everything but the log."""


class LogCodec:
    """Log records as lines."""

    def encode(self, item: LogRecord) -> bytes:
        """A record as a line."""
        return encode(
            Log(
                severity=item.severity,  # type: ignore[arg-type] # as it came
                logger=item.logger,
                message=item.message,
            )
        )

    def decode(self, line: bytes) -> LogRecord:
        """The record on a line; `ValueError` when there is none."""
        found = decode(line)
        if not isinstance(found, Log):
            raise ValueError(f"no log record: {found}")  # noqa: TRY004 - as `decode`
        return LogRecord(
            severity=found.severity, logger=found.logger, message=found.message
        )

    def weight(self, item: LogRecord) -> int:
        """Its characters; a line in the file has a few more."""
        return len(item.message)


class ResultCodec:
    """Results as lines."""

    def encode(self, item: Result) -> bytes:
        """A result as a line."""
        return encode(item)

    def decode(self, line: bytes) -> Result:
        """The result on a line; `ValueError` when there is none."""
        found = decode(line)
        if not isinstance(found, Result):
            raise ValueError(f"no result: {found}")  # noqa: TRY004 - as `decode`
        return found

    def weight(self, item: Result) -> int:
        """About what it takes."""
        del item
        return 200


def describe(item: Result) -> str:
    """A result as people call it."""
    match item:
        case Metric(name=name, step=step):
            where = "" if step is None else f" at step {step}"
            return f"the metric {name!r}{where}"
        case ArtifactStored(name=name):
            return f"the artifact {name!r}"
        case RunStarted(run_id=run_id):
            return f"the MLflow run {run_id}"
