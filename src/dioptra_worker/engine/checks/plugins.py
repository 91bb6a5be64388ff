"""Does each task's function exist in the source code, registered, with these inputs?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.engine.reading.sources import Unfound
from dioptra_worker.engine.wording import listing, suggestion

if TYPE_CHECKING:
    from dioptra_worker.engine.issues import Report
    from dioptra_worker.engine.model import Entrypoint, Task
    from dioptra_worker.engine.reading.sources import Function, Sources


def check_plugins(entrypoint: Entrypoint, sources: Sources, report: Report) -> None:
    """Report tasks whose function is missing, not registered, or takes other inputs."""
    for task in entrypoint.tasks.values():
        if "." not in task.plugin:
            continue  # `check_declarations` reports it
        found = sources.find(task.plugin)
        if isinstance(found, Unfound):
            message = f"Task {task.name!r} names the plugin {task.plugin!r}, but"
            report.error(f"{message} {found.reason}", (*task.path, "plugin"))
            continue
        if not found.registered:
            message = (
                f"Task {task.name!r} names the plugin {task.plugin!r}, which is not"
            )
            message += " registered. Decorate the function with '@pyplugs.register'."
            report.error(message, (*task.path, "plugin"))
        _Signature(task, found, report).check()


class _Signature:
    """The inputs that a task declares beside the parameters of its function."""

    def __init__(self, task: Task, function: Function, report: Report) -> None:
        self._task = task
        self._function = function
        # Another decorator may change what the function takes, so nobody can be sure.
        self._report = report.warning if function.wrapped else report.error
        self._warn = report.warning
        self._who = f"function {task.plugin!r}"

    def check(self) -> None:
        names = [declared.name for declared in self._task.inputs]
        for position, declared in enumerate(self._task.inputs):
            if not self._takes(declared.name, position):
                message = f"Task {self._task.name!r} declares the input"
                message += f" {declared.name!r}, which {self._who}"
                message += self._refusal(declared.name)
                self._report(message, declared.path)
            elif declared.name in self._function.required and not declared.required:
                message = f"Task {self._task.name!r} declares the input"
                message += f" {declared.name!r} as not required, but {self._who} has no"
                self._warn(f"{message} default for it.", declared.path)
        lost = sorted(self._function.required - set(names))
        if lost:
            message = (
                f"Task {self._task.name!r} does not declare {listing(lost)}, which"
            )
            message += f" {self._who} requires."
            self._report(message, self._task.path)
        self._check_order(names)

    def _refusal(self, name: str) -> str:
        if name in self._function.only_positional:
            place = self._function.positional.index(name) + 1
            return f" takes only as positional argument {place}."
        known = (*self._function.positional, *self._function.only_named)
        return f" does not take.{suggestion(name, known, 'It takes none.')}"

    def _takes(self, name: str, position: int) -> bool:
        function = self._function
        if name in function.only_positional:
            return function.positional.index(name) == position
        return (
            name in function.positional
            or name in function.only_named
            or function.more_names
            or (function.more_positions and position >= len(function.positional))
        )

    def _check_order(self, names: list[str]) -> None:
        shared = [name for name in names if name in self._function.positional]
        order = [name for name in self._function.positional if name in shared]
        if shared != order:
            message = (
                f"Task {self._task.name!r} declares {listing(shared)} in this order,"
            )
            message += f" but {self._who} takes {listing(order)}: positional arguments"
            self._warn(f"{message} will be mixed up.", (*self._task.path, "inputs"))
