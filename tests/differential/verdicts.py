"""Our own verdicts, in the same form as the peer's."""

from __future__ import annotations

from typing import Any

from dioptra_worker import engine


def job(config: Any) -> tuple[bool, list[str]]:
    """Whether our worker would run this configuration, and why not."""
    try:
        engine.compile(config)
    except engine.InvalidGraph as error:
        return False, [str(issue) for issue in error.issues]
    return True, []


def entrypoint(config: Any) -> tuple[bool, list[str]]:
    """Whether an entrypoint is right with its swaps open, and why not."""
    errors = [
        str(issue)
        for issue in engine.validate(config)
        if issue.severity is engine.Severity.ERROR
    ]
    return not errors, errors
