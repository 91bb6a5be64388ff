"""Ctrl-C at any moment of a command: none is lost. See `quiet_imports`, too."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from dioptra_worker.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN_AFTER = 0.05
"""Seconds after which an interrupt that went nowhere comes again."""


class Interrupts:
    """Knows of an interrupt also where somebody has made another error of it.

    A library may have, in whose middle it was raised, or whoever hears of all errors.

    Attributes:
        pressed: Whether there was one.
    """

    def __init__(self) -> None:
        self.pressed = False

    def raise_one(self, *_: object) -> NoReturn:
        """Interrupt what runs; handles a signal."""
        self.pressed = True
        raise KeyboardInterrupt


_INTERRUPTS = Interrupts()
"""Those of this process, as its signals are."""


def end_at_once() -> None:
    """Have an interrupt end the program where nothing is left, or begun, to be ended.

    Without a word: at its end Python would tell in which module it was.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def heard() -> Iterator[Interrupts]:
    """Hear of each interrupt, and lose none."""
    before = signal.getsignal(signal.SIGINT)
    is_ours = before in {signal.default_int_handler, _end} and _is_main_thread()
    if is_ours:
        _INTERRUPTS.pressed = False
        signal.signal(signal.SIGINT, _INTERRUPTS.raise_one)
    try:
        with _insisting():
            yield _INTERRUPTS
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, before)


def interrupt_at_sigterm() -> None:
    """What SIGTERM ends is to be cleaned up like what Ctrl-C ends."""
    signal.signal(signal.SIGTERM, _INTERRUPTS.raise_one)


def _end(*_: object) -> NoReturn:
    os._exit(ExitCode.INTERRUPTED)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _interrupt_again() -> None:
    """Send the signal anew to the thread that heeds it, also out of a long wait."""
    time.sleep(_AGAIN_AFTER)
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGINT)


@contextlib.contextmanager
def _insisting() -> Iterator[None]:
    """Have an interrupt come again that was raised where Python ignores exceptions.

    That is a finalizer, or what the import of a module calls when it is done.
    """
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not from here: it would be raised here, and ignored again. And without
            # `threading`, in the middle of which this may be, with its lock held.
            _thread.start_new_thread(_interrupt_again, ())
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
