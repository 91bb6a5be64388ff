"""Ctrl-C and SIGTERM wait a moment where they would leave something half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Have an interrupt come at the end of the block, which takes a moment only.

    For what is made and then noted, so that it can be ended, and for the end itself:
    impatient people press Ctrl-C twice. The signals' handlers are called then, so that
    each means what it meant before. Processes that are started meanwhile inherit
    nothing of this, as they would a blocked signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # it is never interrupted
        return
    came: list[int] = []
    # What the system does by itself stays: it ends us at once, or ignores.
    before = {
        number: handler
        for number in _SIGNALS
        if callable(handler := signal.getsignal(number))
    }
    for number in before:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
