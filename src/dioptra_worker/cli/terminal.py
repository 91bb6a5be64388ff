"""What a command prints, without the secrets of its environment.

Every command's standard output and error go through here: a sentence of a library with
an address in it, a traceback, a job's own words.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from dioptra_worker.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable


class OutputLost(click.ClickException):
    """What a command prints goes nowhere.

    Not an `OSError`, which would be taken for one of what the command works on.

    Args:
        error: What the system said.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, error: OSError) -> None:
        reason = (error.strerror or str(error)).rstrip(".")
        super().__init__(f"what it prints cannot be written: {reason}.")
        self._is_unwanted = isinstance(error, BrokenPipeError)

    def show(self, file: Any = None) -> None:
        """Say so, unless whoever read it has had enough, as ``head`` has."""
        if not self._is_unwanted:
            super().show(file)


class _Stream:
    """A text stream; what is not said otherwise is that of the one below it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        return self.stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        """Write lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Any:
        return iter(self.stream)


class _Output(_Stream):
    """Standard output: what cannot be written ends the command.

    Standard error is none of these: what a daemon says there may find room again.
    """

    def write(self, text: str) -> int:
        """Write text."""
        if text == "":  # click tries out so what a stream takes, and hears no error
            return 0
        try:
            return self.stream.write(text)
        except OSError as error:
            raise self._lost(error) from error

    def flush(self) -> None:
        """Write what was held back until now."""
        try:
            self.stream.flush()
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: OSError) -> OutputLost:
        # What is held back is given up, or Python would try, and fail, at its end.
        self.stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        return OutputLost(error)


class _MaskedStream(_Stream):
    """Hides secrets in what is written."""

    def __init__(self, stream: TextIO, mask: Callable[[str], str]) -> None:
        super().__init__(stream)
        self._mask = mask

    def write(self, text: str) -> int:
        """Write text without secrets."""
        self.stream.write(self._mask(text))
        return len(text)


def hide_secrets() -> None:
    """From now on, print no secret of the environment, and any character somehow."""
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.credentials import secrets_in

    mask = Mask(secrets_in(os.environ))
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _MaskedStream):
            continue
        _take_any_character(stream)
        if name == "stdout":
            stream = _Output(stream)
        setattr(sys, name, _MaskedStream(stream, mask))


def _take_any_character(stream: TextIO) -> None:
    """Write what an encoding lacks as an escape, such as a mark in an old terminal.

    A file's name may have bytes that no encoding knows, too.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return
    if codecs.lookup(stream.encoding).name == "ascii":
        # click would write to what is below the stream otherwise, past our mask.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    elif stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")


def unmasked_output() -> TextIO:
    """Standard output for the one command that is asked for secrets."""
    if isinstance(sys.stdout, _MaskedStream):
        return sys.stdout.stream
    return sys.stdout
