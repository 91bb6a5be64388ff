"""The exit codes of the commands; docs/reference/exit-codes.md lists them."""

from __future__ import annotations

from enum import IntEnum

from dioptra_worker.errors import LoginRefused, SettingsError, WorkerError


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


def exit_code(error: WorkerError) -> ExitCode:
    """What a command ends with that an error has kept from its work."""
    if isinstance(error, SettingsError):
        return ExitCode.USAGE
    if isinstance(error, LoginRefused):
        return ExitCode.REFUSED
    return ExitCode.FAILED
