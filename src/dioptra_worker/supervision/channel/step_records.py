"""What the worker says of a job's steps, as far as its task graph has them.

That a step begins is the runner's word, and so a plugin's if it wants. What the worker
says in its own name is compared with the task graph, and each step begins once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dioptra_worker.protocol.messages import STEP_LOGGER, Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.protocol.messages import StepEnded, StepStarted


class StepRecords:
    """Log records of the steps of one job."""

    def __init__(self, config: Callable[[], Mapping[str, Any] | None]) -> None:
        """Prepare.

        Args:
            config: Gives the job's task graph; None while it is not known.
        """
        self._config = config
        self._begun: set[str] = set()
        self._last = 0
        self._running: tuple[str, float] | None = None

    @property
    def running(self) -> str | None:
        """The step that runs."""
        return None if self._running is None else self._running[0]

    def started(self, message: StepStarted) -> Log | None:
        """The record of a step that begins; None if the graph has no such step."""
        if message.step in self._begun or not self._is_real(message):
            return None
        self._begun.add(message.step)
        self._last = message.index
        self._running = (message.step, time.monotonic())
        return _record(
            f"step {message.index} of {message.total}: {message.step!r} runs task"
            f" {message.task!r}"
        )

    def ended(self, message: StepEnded) -> Log | None:
        """The record of a step that ends; None if it is not the one that runs."""
        if self._running is None or self._running[0] != message.step:
            return None
        seconds = time.monotonic() - self._running[1]
        self._running = None
        return _record(f"step {message.step!r} finished in {seconds:.2f} s")

    def _is_real(self, message: StepStarted) -> bool:
        config = self._config() or {}
        graph, tasks = config.get("graph"), config.get("tasks")
        if not isinstance(graph, Mapping) or not isinstance(tasks, Mapping):
            return False
        # One may have been lost on its way, as a line that was cut; none comes back.
        is_next = self._last < message.index <= message.total == len(graph)
        calls = _calls_of(graph.get(message.step))
        return is_next and message.task in tasks and message.task in calls


def _calls_of(step: Any) -> set[Any]:
    """What the names of a step's tasks may be, in each spelling and of each swap."""
    if not isinstance(step, Mapping):
        return set()
    calls = {*step, _named(step)}
    for name, choices in step.items():
        if str(name).startswith("?") and isinstance(choices, Mapping):
            for call in choices.values():
                if isinstance(call, Mapping):
                    calls |= {*call, _named(call)}
    return calls


def _named(call: Mapping[Any, Any]) -> str | None:
    name = call.get("task")
    return name if isinstance(name, str) else None


def _record(text: str) -> Log:
    return Log(severity="INFO", logger=STEP_LOGGER, message=text)
