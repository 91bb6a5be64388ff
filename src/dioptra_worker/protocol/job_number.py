"""The number of a job where it stands in a text that anybody may have written."""

from __future__ import annotations

_MAX_DIGITS = 19


def job_number(text: str) -> int | None:
    """The job that a text names; None if it is no job's number.

    Args:
        text: Such as the name of a field in Redis, or the value of a tag in MLflow.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return int(text) if is_number else None
