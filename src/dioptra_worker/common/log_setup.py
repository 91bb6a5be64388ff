"""The daemon's own log: JSON lines or text for people, and never a secret."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, TextIO

import structlog

from dioptra_worker.common.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable


def configure(*, as_json: bool, level: str, mask: Mask, stream: TextIO) -> None:
    """Set up logging for a daemon or a command.

    Args:
        as_json: JSON lines instead of text for people.
        level: The least severity to show.
        mask: Applied to every line.
        stream: Where to write.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
        )
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
                renderer,
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


class _MaskedHandler(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, mask: Mask) -> None:
        super().__init__(stream)
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(super().format(record))


def to_stderr(*, as_json: bool, level: str, secrets: Iterable[str]) -> Mask:
    """Log to standard error.

    Args:
        as_json: JSON lines instead of text for people.
        level: The least severity to show.
        secrets: Values that must not appear.

    Returns:
        The mask, to be used elsewhere too.
    """
    mask = Mask(secrets)
    configure(as_json=as_json, level=level, mask=mask, stream=sys.stderr)
    return mask
