"""What a job says: log records and Python's own output become messages, in order.

`print` and logging share one channel, so their order is kept. Text that C libraries
and child processes write goes to the file descriptors 1 and 2, which the daemon reads
as pipes of their own.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from dioptra_worker.common.text.masking import cut_position
from dioptra_worker.protocol.job_variables import STREAMS
from dioptra_worker.protocol.messages import (
    SEVERITIES,
    Log,
    Output,
    RunnerMessage,
    Severity,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dioptra_worker.protocol.messages import OutputStream

Send = Callable[[RunnerMessage], None]

MAX_MESSAGE_CHARS = 1 << 20
"""Characters of a record that go into one message; a longer one becomes several."""

QUIET_LOGGERS = ("urllib3", "botocore", "boto3", "s3transfer", "git", "filelock")
"""Libraries whose chatter below WARNING is not the job's business."""


class MessageHandler(logging.Handler):
    """Sends each log record as a `Log` message."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a record that cannot be rendered says so instead."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a __str__ of user code
            text = (
                f"a log record could not be rendered: {_safe_repr(error)}; its text was"
                f" {_safe_repr(record.msg)}"
            )
        level = severity(record.levelno)
        for part in _parts(text):
            self._send(Log(severity=level, logger=str(record.name), message=part))


def _parts(text: str) -> Iterator[str]:
    """Text in messages that are not too long to be kept in memory at both ends."""
    start = 0
    while len(text) - start > MAX_MESSAGE_CHARS:
        end = cut_position(text, " ", start + MAX_MESSAGE_CHARS)
        yield text[start:end]
        start = end
    yield text[start:]


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a __repr__ of user code
        return f"a {type(value).__name__} without a repr"


class MessageStream(io.RawIOBase):
    """A raw stream whose writes are sent as `Output` messages.

    Attributes:
        name: What Python calls the stream, such as ``"<stdout>"``.
        mode: How it is open.
    """

    mode = "wb"

    def __init__(self, stream: OutputStream, fd: int, send: Send) -> None:
        self.name = f"<{stream}>"
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._fd = fd
        self._send = send

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def fileno(self) -> int:
        """The real descriptor, for code that hands it to a child process."""
        return self._fd

    def write(self, data: Any) -> int:
        """Send bytes as text; what is not UTF-8 is shown escaped."""
        content = bytes(data)
        self._send_text(self._decoder.decode(content))
        return len(content)

    def finish(self) -> None:
        """Send what was held back because it looked like half a character."""
        self._send_text(self._decoder.decode(b"", final=True))

    def _send_text(self, text: str) -> None:
        for part in _parts(text) if text else ():
            self._send(Output(stream=self._stream, text=part))


def severity(level: int) -> Severity:
    """The API's name for a logging level, custom levels included.

    Args:
        level: As in `logging`, such as 25.

    Returns:
        The highest standard severity that is not above it.
    """
    thresholds = (50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO")
    for least, name in thresholds:
        if level >= least:
            assert name in SEVERITIES
            return name  # type: ignore[return-value] # a literal of the thresholds
    return "DEBUG"


def capture(
    send: Send, *, level: str, streams: Collection[OutputStream] = ("stdout", "stderr")
) -> None:
    """Route logging, structlog, warnings, `stdout` and `stderr` of this process.

    Args:
        send: Takes each message.
        level: The least severity of log records to send.
        streams: Which of the two streams to route.
    """
    for name in streams:
        fd = STREAMS[name]
        raw = MessageStream(name, fd, send)
        text = io.TextIOWrapper(
            io.BufferedWriter(raw, 1 << 16),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
    _route_logging(MessageHandler(send), level)
    _protect_own_loggers(MessageHandler(send), level)


def flush() -> None:
    """Send what Python still holds back of `stdout` and `stderr`."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):  # closed, or replaced by a plugin's own
            assert stream is not None
            stream.flush()
            raw = getattr(stream.buffer, "raw", None)
            if isinstance(raw, MessageStream):
                raw.finish()


def formatter() -> logging.Formatter:
    """What makes a job's text of a log record, of structlog's and of others."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _render,
        ],
    )


def route_structlog(*, cache: bool) -> None:
    """Let structlog log through `logging`.

    Args:
        cache: Whether each logger keeps that for ever, which is quicker.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=cache,
    )


def _route_logging(handler: logging.Handler, level: str) -> None:
    handler.setFormatter(formatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    _set_level(root, logging.getLevelNamesMapping()[level])
    _quiet_loggers()
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default", DeprecationWarning)
    route_structlog(cache=True)


def _quiet_loggers() -> None:
    """Let libraries say less."""
    for name in QUIET_LOGGERS:
        _set_level(logging.getLogger(name), logging.WARNING)


def prepare_logging() -> None:
    """Do once in a fork server what `capture` would do in each of its runners."""
    _quiet_loggers()
    _set_level(logging.getLogger(), logging.INFO)  # what runners use, mostly


def _set_level(logger: logging.Logger, level: int) -> None:
    """Set a level if it is another: each time all loggers' caches are emptied."""
    if logger.level != level:
        logger.setLevel(level)


class _OwnLogger(logging.Logger):
    """A logger of ours, which no plugin's configuration of logging silences.

    `logging.config.dictConfig` disables the loggers that there are, `logging.disable`
    all of them, and handlers are removed: a job's steps and the traceback of its end
    are in its log all the same.
    """

    handler: logging.Handler
    least: int

    @property
    def disabled(self) -> bool:
        """Never; to set it has no effect."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - its name in `logging`
        """Whether the worker's own level lets a record through."""
        return level >= self.least

    def handle(self, record: logging.LogRecord) -> None:
        """Send a record, whatever handlers and filters there are."""
        self.handler.handle(record)


def _protect_own_loggers(handler: logging.Handler, level: str) -> None:
    handler.setFormatter(formatter())
    _OwnLogger.handler = handler
    _OwnLogger.least = logging.getLevelNamesMapping()[level]
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        ours = name == "dioptra_worker" or name.startswith("dioptra_worker.")
        if ours and isinstance(logger, logging.Logger):
            logger.__class__ = _OwnLogger


def _render(_: object, __: str, event: structlog.typing.EventDict) -> str:
    """``event key=value``, and a traceback on the lines below."""
    fields = dict(event)
    text = str(fields.pop("event", ""))
    trace = fields.pop("exception", None) or _formatted_traceback(
        fields.pop("exc_info", None)
    )
    stacks = (fields.pop("stack", None), fields.pop("stack_info", None))
    pairs = [f"{name}={value!r}" for name, value in fields.items()]
    first = " ".join(part for part in (text, *pairs) if part)
    return "\n".join(part for part in (first, *stacks, trace) if part)


def _formatted_traceback(exc_info: object) -> str | None:
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    if isinstance(exc_info, tuple) and exc_info[0] is not None:
        return logging.Formatter().formatException(exc_info)
    return None
