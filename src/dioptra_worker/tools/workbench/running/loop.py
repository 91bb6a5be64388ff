"""Run, and run again when a file of it changes, until somebody has enough of it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol

from dioptra_worker.errors import WorkerError
from dioptra_worker.tools.workbench.running.display import short
from dioptra_worker.tools.workbench.running.file_watch import PAUSE, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.supervision.runner_output import RunnerListener
    from dioptra_worker.tools.workbench.planning.run_plan import Order
    from dioptra_worker.tools.workbench.planning.run_request import Demand
    from dioptra_worker.tools.workbench.running.results import Result
    from dioptra_worker.tools.workbench.running.supervised import Bench


class Show(Protocol):
    """Shows what happens around the runs."""

    def opening(self, order: Order) -> None:
        """A run begins."""
        ...

    def closing(self, result: Result) -> None:
        """A run has ended."""
        ...

    def problem(self, error: WorkerError) -> None:
        """Nothing can be run as it is."""
        ...

    def changed(self, files: list[str]) -> None:
        """Files have changed, so it is run again."""
        ...

    def waiting(self) -> None:
        """Nothing runs until a file changes."""
        ...


def keep_running(
    demand: Demand,
    bench: Bench,
    *,
    show: Show,
    audience: RunnerListener,
    timeout: float | None,
) -> bool:
    """Run until Ctrl-C, again after every change.

    A change in the middle of a run stops it, since nobody wants its result any more.

    Args:
        demand: What to run.
        bench: Runs it.
        show: Shows what happens around the runs.
        audience: Hears what the runs say.
        timeout: Seconds that each may take.

    Returns:
        Whether the last run finished.
    """
    finished = False
    with contextlib.suppress(KeyboardInterrupt):
        while not bench.interrupted:
            watch = Watch(demand.watched())
            found: list[Path] = []
            try:
                order = demand.order()
                watch = Watch(demand.watched_with(order))
                show.opening(order)
                with _stopping_on_change(bench, watch, found):
                    result = bench.run(order, audience=audience, timeout=timeout)
                finished = result.finished
                if not found:
                    show.closing(result)
            except WorkerError as error:
                finished = False
                show.problem(error)
            if bench.interrupted:
                break
            if not found:
                show.waiting()
                found = watch.wait(_sleep)
            show.changed([short(file) for file in found])
    return finished


@contextlib.contextmanager
def _stopping_on_change(
    bench: Bench, watch: Watch, found: list[Path]
) -> Iterator[None]:
    done = threading.Event()

    def look() -> None:
        while not done.wait(PAUSE):
            if changes := watch.changes():
                found.extend(changes)
                bench.stop("a file of it has changed")
                return

    thread = threading.Thread(target=look, name="dioptra-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _sleep(seconds: float) -> None:
    threading.Event().wait(seconds)
