"""Whether a runner can be had: the fork server starts and hands out two."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from dioptra_worker import job_environment
from dioptra_worker.common.text.humanize import size
from dioptra_worker.errors import RunnerError
from dioptra_worker.supervision.launcher import Launcher, choose_mode
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from dioptra_worker.protocol.forkserver import PreloadedModule
    from dioptra_worker.settings import Settings

NAME = "runner"
TIMEOUT = 150.0
"""Seconds: the fork server imports everything, frameworks to preload included."""
_EXIT_TIMEOUT = 5.0
_FIX = (
    "see what the fork server wrote above; DIOPTRA_WORKER_PRELOAD may name a bad module"
)


def check(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Check that a job gets a process.

    Args:
        settings: Say how processes are made.
        environment: The worker's.
    """
    mode = choose_mode(settings.isolation)
    launcher = Launcher(
        mode=mode,
        preload=settings.preload_names,
        grace=settings.kill_grace,
        environment=job_environment.for_runners(settings, environment),
    )
    try:
        with launcher:
            first, second = (_hand_out(launcher) for _ in range(2))
            preloaded = launcher.preloaded
    except RunnerError as error:
        yield fail(NAME, str(error), _FIX)
        return
    if first is None or second is None:
        yield warn(NAME, "a runner did not end when it was killed", "see its host")
        return
    yield ok(
        NAME,
        f"by {mode}: the first after {first:.1f} s, the next after"
        f" {second * 1000:.0f} ms{_told(preloaded, settings.preload_names)}",
    )


def _told(preloaded: Iterable[PreloadedModule], names: Collection[str]) -> str:
    """What the modules cost that the operator has preloaded."""
    costs = [
        f"{each.module} ({each.seconds:.1f} s, {size(each.memory)})"
        for each in preloaded
        if each.module in names
    ]
    return f"; preloaded {', '.join(costs)}" if costs else ""


def _hand_out(launcher: Launcher) -> float | None:
    """Get a runner and end it; seconds until it was there, None if it would not end."""
    started = time.monotonic()
    process, pipes = launcher.start_runner()
    seconds = time.monotonic() - started
    try:
        launcher.signal(process, signal.SIGKILL)
        return seconds if process.ended.wait(_EXIT_TIMEOUT) else None
    finally:
        pipes.close()
