"""What a command prints, without the secrets of its environment.

Every command's standard output and error go through here: a sentence of a library with
an address in it, a traceback, a job's own words.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class _MaskedStream:
    """A text stream that hides secrets in what is written; all else is the stream's."""

    def __init__(self, stream: TextIO, mask: Callable[[str], str]) -> None:
        self.unmasked = stream
        self._mask = mask

    def write(self, text: str) -> int:
        """Write text without secrets."""
        self.unmasked.write(self._mask(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write lines without secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unmasked, name)

    def __iter__(self) -> Any:
        return iter(self.unmasked)


def hide_secrets() -> None:
    """From now on, print no secret of the environment."""
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.credentials import secrets_in

    mask = Mask(secrets_in(os.environ))
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _MaskedStream):
            setattr(sys, name, _MaskedStream(stream, mask))


def unmasked_output() -> TextIO:
    """Standard output for the one command that is asked for secrets."""
    return cast("TextIO", getattr(sys.stdout, "unmasked", sys.stdout))
