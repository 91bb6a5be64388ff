"""Ctrl-C at any moment of a command: it ends, says so in a word, and with code 130."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from dioptra_worker.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN_AFTER = 0.05
"""Seconds after which an interrupt that went nowhere comes again."""


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """End at once and without a word meanwhile: nothing has begun that is to be ended.

    A function does, not the system's default, which process 1 of a container ignores.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not is_main or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(ExitCode.INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def insisting() -> Iterator[None]:
    """Have an interrupt come again that was raised where Python ignores exceptions.

    That is a finalizer, or what the import of a module calls when it is done.
    """
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not from here: it would be raised here, and ignored again.
            threading.Timer(_AGAIN_AFTER, _thread.interrupt_main).start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
