"""What ``breakpoint()`` does where nobody can talk to a debugger."""

from __future__ import annotations

import warnings

HOOK = f"{__name__}.hint"
"""For ``PYTHONBREAKPOINT``."""


def hint(*_args: object, **_options: object) -> None:
    """Say how to get to the debugger, at the line that asked for it, and go on."""
    warnings.warn(
        "breakpoint() is passed, as this process has no terminal: `dioptra-worker run"
        " --debug` stops there",
        stacklevel=2,
    )
