"""The main loop sleeps, and is woken, also by a handler in the middle of it."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.stop import StopRequests
from dioptra_worker.daemon.wakeup import WakeUp

if TYPE_CHECKING:
    from types import FrameType

LONG = 60.0


def test_stop_between_any_two_steps() -> None:
    """A signal that comes at any step of the main loop's sleep ends that sleep."""
    stops = StopRequests()
    wakeup = WakeUp(stops, tick=lambda: None)
    steps = 0

    def at_each_step(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal steps
        if event == "line" and frame.f_code.co_name != "shut_down":
            steps += 1
            stops.shut_down()
        return at_each_step

    def main_loop() -> None:
        sys.settrace(at_each_step)
        try:
            wakeup.wait(LONG)
            wakeup.sleep_unless_stopped(LONG)
        finally:
            sys.settrace(None)

    loop = threading.Thread(target=main_loop, daemon=True)
    loop.start()
    loop.join(LONG / 2)
    assert not loop.is_alive()
    assert stops.shutdowns >= steps > 5


def test_wakes_a_rest_not_a_pause() -> None:
    """A ring ends a rest; a pause goes on until its end or a stop."""
    stops = StopRequests()
    wakeup = WakeUp(stops, tick=lambda: None)
    stops.events.put(None)
    began = time.monotonic()
    wakeup.wait(LONG)
    assert time.monotonic() - began < LONG / 2
    stops.events.put(None)
    began = time.monotonic()
    assert not wakeup.sleep_unless_stopped(0.2)
    assert time.monotonic() - began >= 0.2
    threading.Timer(0.05, stops.shut_down).start()
    assert wakeup.sleep_unless_stopped(LONG)


def test_signs_of_life() -> None:
    """Who sleeps says that it lives before it sleeps."""
    ticks: list[float] = []
    wakeup = WakeUp(StopRequests(), tick=lambda: ticks.append(time.monotonic()))
    wakeup.wait(0.01)
    assert ticks
