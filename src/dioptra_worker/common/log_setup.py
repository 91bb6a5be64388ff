"""The daemon's own log: JSON lines or text for people, and never a secret."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from dioptra_worker.common.text.masking import Mask
from dioptra_worker.common.text.printable import CONTINUED, spelt_out

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("dioptra_worker")


def configure(*, as_json: bool, level: str, mask: Mask, stream: TextIO) -> None:
    """Set up logging for a daemon or a command.

    As text, a record is one line: control characters are spelt out, line ends among
    them. Only tracebacks have several, and each of theirs begins with `CONTINUED`.

    Args:
        as_json: JSON lines instead of text for people.
        level: The least severity to show.
        mask: Applied to every line.
        stream: Where to write.
    """
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if as_json
        else [
            _in_one_line,
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(),
                # All tracebacks are texts by then; older releases of structlog warn, at
                # each of them, of any other formatter.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    )
    handler = _MaskedHandler(stream, mask)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                _add_extra,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                partial(_mask_text, mask),  # JSON would escape escapes once more
                *renderers,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("urllib3", "rq", "rq.worker", "rq.job"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _add_extra(
    logger: logging.Logger, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add a record's data; an event's fixed name stands beside its sentence."""
    sentence = event["event"]
    event = structlog.stdlib.ExtraAdder()(logger, method, event)
    if event["event"] != sentence:
        event["name"], event["event"] = event["event"], sentence
    return event


def _mask_text(
    mask: Mask, _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {
        name: mask(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _in_one_line(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Spell out what would end a line, or do something to a terminal."""
    return {spelt_out(name): _as_text(name, value) for name, value in event.items()}


def _as_text(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if not isinstance(value, str):
        return _Shown(repr(value))
    if name not in {"exception", "stack"}:
        return spelt_out(value)
    return "\n".join(CONTINUED + spelt_out(line) for line in value.split("\n"))


class _Shown:
    """A value whose `repr` is a text in one line."""

    def __init__(self, text: str) -> None:
        self._text = spelt_out(text)

    def __repr__(self) -> str:
        return self._text


class _MaskedHandler(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, mask: Mask) -> None:
        super().__init__(stream)
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - `logging`'s
        """Say in one line what could not be logged; `logging` prints it all raw."""
        kind = type(sys.exception()).__name__
        words = spelt_out(self._mask(f"a record of {record.name!r} is lost: {kind}"))
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            self.stream.write(f"{words}\n")


def to_stderr(*, as_json: bool, level: str, secrets: Iterable[str]) -> Mask:
    """Log to standard error, also what no code of ours has caught.

    Args:
        as_json: JSON lines instead of text for people.
        level: The least severity to show.
        secrets: Values that must not appear.

    Returns:
        The mask, to be used elsewhere too.
    """
    mask = Mask(secrets)
    configure(as_json=as_json, level=level, mask=mask, stream=sys.stderr)
    logging.captureWarnings(capture=True)
    # Python itself would print them as they are.
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread
    return mask


def _log_uncaught(kind: Any, error: Any, trace: Any) -> None:
    log.critical("the process ends", exc_info=(kind, error, trace))


def _log_unraisable(found: Any) -> None:
    log.error(
        "an error in %r had nobody to tell",
        found.object,
        exc_info=(found.exc_type, found.exc_value, found.exc_traceback),
    )


def _log_thread(found: Any) -> None:
    if found.exc_type is SystemExit:  # as Python does
        return
    log.error(
        "the thread %r ended with an error",
        found.thread and found.thread.name,
        exc_info=(found.exc_type, found.exc_value, found.exc_traceback),
    )
