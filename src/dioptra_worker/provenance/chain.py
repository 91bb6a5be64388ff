"""Digests of records in their order, which anybody can compute again.

Each record is added by taking the SHA-256 of the digest so far, in hex, followed by the
record as canonical JSON. So one digest stands for all lines of a log, and who has the
lines can tell that none was changed, left out, added or moved.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance.configuration import canonical_text

if TYPE_CHECKING:
    from collections.abc import Iterable

EMPTY_CHAIN = ""
"""The digest of a chain before its first record."""


def digest(data: bytes) -> str:
    """The SHA-256 of some bytes in hex; of a manifest's it is its name."""
    return hashlib.sha256(data).hexdigest()


NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""The texts that stand for numbers that JSON does not have."""


def canonical(value: Any) -> bytes:
    """A value as JSON that is equal for equal values: sorted, without spaces, UTF-8.

    What JSON does not have is text: ``NaN``, ``Infinity``, ``-Infinity``, dates. A lone
    surrogate, which UTF-8 does not have, is written as JSON's escape for it.
    """
    text = canonical_text(_finite(value))
    return text.encode("utf-8", "backslashreplace")


def extend(chain: str, record: Mapping[str, Any]) -> str:
    """The digest of a chain of records with one more.

    Args:
        chain: The digest before, in hex; empty for none.
        record: `log_record` or `metric_record`.

    Returns:
        The SHA-256, in hex, of the digest before and the record as `canonical` JSON.
    """
    return digest(chain.encode() + canonical(record))


def log_record(severity: str, logger: str, message: str) -> dict[str, Any]:
    """A line of a job's log for `extend`.

    Args:
        severity: Such as ``INFO``.
        logger: Who said it.
        message: The text; it begins with the line's time.
    """
    time, _, text = message.partition(" ")
    return {"time": time, "severity": severity, "logger": logger, "message": text}


def metric_record(name: str, value: float | str, step: int | None) -> dict[str, Any]:
    """A point of a metric for `extend`; without a step it is the API's, which is 0."""
    number = float(value)
    return {"name": name, "value": number, "step": step or 0}


def chained(records: Iterable[Mapping[str, Any]], start: str = EMPTY_CHAIN) -> str:
    """The digest of a chain of records, after that of what was before."""
    return functools.reduce(extend, records, start)


def _finite(value: Any) -> Any:
    """A value with text where JSON has no number."""
    match value:
        case float() if not math.isfinite(value):
            return str(value).replace("inf", "Infinity").replace("nan", "NaN")
        case Mapping():
            return {str(key): _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
    return value
