"""Run, and run again when a file of it changes, until somebody has enough of it."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError
from dioptra_worker.tools.workbench.errors import WorkbenchError
from dioptra_worker.tools.workbench.running.display import short
from dioptra_worker.tools.workbench.running.file_watch import POLL_INTERVAL, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.supervision.channel.runner_output import RunnerListener
    from dioptra_worker.tools.workbench.planning.run_request import RunRequest
    from dioptra_worker.tools.workbench.running.display import Reporter
    from dioptra_worker.tools.workbench.running.supervised import LocalRunner


def keep_running(
    request: RunRequest,
    runner: LocalRunner,
    *,
    reporter: Reporter,
    listener: RunnerListener,
    timeout: float | None,
) -> None:
    """Run until Ctrl-C, again after every change.

    A change in the middle of a run stops it, since nobody wants its result any more.

    Args:
        request: What to run.
        runner: Runs it.
        reporter: Shows what happens around the runs.
        listener: Hears what the runs say.
        timeout: Seconds that each may take.
    """
    with contextlib.suppress(KeyboardInterrupt):
        while not runner.interrupted:
            watch = Watch(request.watched())
            found: list[Path] = []
            try:
                run_plan = request.prepare()
                # What was read may have changed since.
                watch = Watch(request.watched_with(run_plan), known=watch.seen)
                reporter.opening(run_plan)
                with _stop_on_change(runner, watch, found):
                    result = runner.run(run_plan, listener=listener, timeout=timeout)
                if not found:
                    reporter.closing(result)
            except WorkerError as error:
                reporter.problem(error)
            except OSError as error:  # one of its files went away meanwhile
                reporter.problem(WorkbenchError(_words(error)))
            if runner.interrupted:
                break
            if not found:
                reporter.waiting()
                found = watch.wait(_sleep)
            reporter.changed([short(file) for file in found])


@contextlib.contextmanager
def _stop_on_change(
    runner: LocalRunner, watch: Watch, found: list[Path]
) -> Iterator[None]:
    done = threading.Event()

    def look() -> None:
        while not done.wait(POLL_INTERVAL):
            if changes := watch.changes():
                found.extend(changes)
                runner.stop("a file of it has changed")
                return

    thread = threading.Thread(target=look, name="dioptra-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _words(error: OSError) -> str:
    if isinstance(error.filename, str | bytes):
        return f"{os.fsdecode(error.filename)!r} cannot be used: {error.strerror}"
    return f"the run could not be started: {error}"


def _sleep(seconds: float) -> None:
    threading.Event().wait(seconds)
