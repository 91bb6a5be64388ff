"""The exit codes of the commands; docs/reference/exit-codes.md lists them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means."""

    OK = 0
    """All went well."""
    FAILED = 1
    """The command did its work and the answer is no, such as an invalid file."""
    USAGE = 2
    """The command line or the environment is not usable; nothing was done."""
    REFUSED = 3
    """The Dioptra API refused the login or is too old, or Redis refused its user."""
    INTERRUPTED = 130
    """Ctrl-C ended it."""
