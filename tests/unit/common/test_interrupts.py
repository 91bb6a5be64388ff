"""Ctrl-C and SIGTERM wait where they would leave something half done."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.interrupts import deferred

if TYPE_CHECKING:
    from collections.abc import Callable


def _signalled(number: signal.Signals, then: Callable[[], object]) -> None:
    with deferred():
        signal.raise_signal(number)
        signal.raise_signal(number)
        then()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_comes_at_the_end(number: signal.Signals) -> None:
    """However often it is asked for, it comes once, and all in the block is done."""
    came, done = [], []

    def handler(number: int, _frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(number, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _signalled(number, lambda: done.append(list(came)))
        assert (done, came) == ([[]], [number])
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_so() -> None:
    """Neither is a signal heard that nobody handles, nor one in another thread."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with deferred():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    thread = threading.Thread(target=lambda: deferred().__enter__())
    thread.start()
    thread.join()


def test_an_error_in_the_block_is_not_lost() -> None:
    """Whoever is interrupted in an error's middle is told both."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            _signalled(signal.SIGINT, lambda: int("none"))
        assert isinstance(caught.value.__context__, ValueError)
    finally:
        signal.signal(signal.SIGINT, before)
