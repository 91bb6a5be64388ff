"""Calls in the background: side by side, bounded, and never waited for by force."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from dioptra_worker.common.background import Background

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
