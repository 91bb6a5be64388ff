"""Calls in the background: side by side, bounded, and never waited for by force."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from dioptra_worker.common.background import Background, Pool, in_background
from dioptra_worker.errors import WorkerTrouble

PATIENCE = 60.0


def test_results_and_errors_reach_who_waits() -> None:
    """What a call returns or raises is had from its future."""
    background = Background("test", max_parallel=2)
    good = background.submit(int, "11", base=2)
    bad = background.submit(lambda: 1 // 0)
    assert good.result(PATIENCE) == 3
    with pytest.raises(ZeroDivisionError):
        bad.result(PATIENCE)
    assert background.wait(0.0)


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there can be no more threads, it is said so, as the machine's trouble."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(WorkerTrouble, match="can't start new thread"):
        in_background(int, "test")


def test_no_more_run_than_may() -> None:
    """A call waits until it is its turn."""
    background = Background("test", max_parallel=1)
    begun, released = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        released.wait(PATIENCE)

    background.submit(first)
    assert begun.wait(PATIENCE)
    second = background.submit(threading.active_count)
    assert not background.wait(0.05)
    assert not second.done()
    released.set()
    assert second.result(PATIENCE)
    assert background.wait(PATIENCE)


@pytest.mark.process
def test_a_call_that_hangs_does_not_hold_up_the_process() -> None:
    """A process ends although a call of its has not."""
    code = (
        "import time; from dioptra_worker.common.background import Background;"
        "b = Background('test', max_parallel=1); b.submit(time.sleep, 3000);"
        "assert not b.wait(0.1)"
    )
    subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=True)


def test_a_pool_keeps_the_order() -> None:
    """What comes of many calls is in the order of what they were for, errors too."""
    with Pool("test", max_parallel=2) as pool:
        assert list(pool.map(str, range(20))) == [str(one) for one in range(20)]
        with pytest.raises(ValueError, match="invalid literal"):
            list(pool.map(int, ["1", "x"]))


def test_leaving_a_pool_waits_for_nobody() -> None:
    """Whoever is interrupted goes on at once, and calls that wait are not begun."""
    begun, released = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        released.wait(PATIENCE)

    with pytest.raises(KeyboardInterrupt), Pool("test", max_parallel=1) as pool:  # noqa: PT012
        first = pool.submit(hang)
        second = pool.submit(str)
        assert begun.wait(PATIENCE)
        raise KeyboardInterrupt
    assert not first.done()
    released.set()
    assert first.result(PATIENCE) is None
    assert not second.done()
