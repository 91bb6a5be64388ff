"""Ctrl-C while a command's modules are imported: it ends at once, without a word.

This module is the first of all, and imports nothing that Python has not loaded by then.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself imports a good deal
import os

_INTERRUPTED = 130
"""`exit_codes.ExitCode.INTERRUPTED`, whose module imports a good deal, too."""


class QuietImports:
    """End at once and without a word meanwhile: nothing has begun that is to be ended.

    A function does, not the system's default, which process 1 of a container ignores.
    """

    def __enter__(self) -> None:
        self._is_ours = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
        if self._is_ours:
            try:
                _signal.signal(_signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
            except ValueError:  # not in the main thread: who imports is no command
                self._is_ours = False

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
