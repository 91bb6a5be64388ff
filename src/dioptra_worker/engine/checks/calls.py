"""Does each step call a known task, with arguments that fit its inputs?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.engine.wording import count, listing, near, suggestion

if TYPE_CHECKING:
    from dioptra_worker.engine.issues import Report
    from dioptra_worker.engine.model import Input, Invocation, Task
    from dioptra_worker.engine.scope import Scope


def check_calls(scope: Scope, report: Report) -> None:
    """Report unknown tasks, and missing, extra and doubled arguments."""
    tasks = scope.entrypoint.tasks
    for step in scope.entrypoint.steps.values():
        for invocation in step.invocations:
            task = tasks.get(invocation.task)
            if task is None:
                hint = suggestion(invocation.task, tasks)
                message = f"Step {step.name!r} calls {invocation.task!r}, which is not"
                message += f" declared {report.where('tasks')}.{hint}"
                report.error(message, invocation.task_path)
            else:
                _Call(step.name, invocation, task, report).check()


def input_for(task: Task, key: int | str) -> Input | None:
    """Find the input that an argument's position or keyword means."""
    if isinstance(key, int):
        return task.inputs[key] if key < len(task.inputs) else None
    return next((i for i in task.inputs if i.name == key), None)


class _Call:
    """One invocation beside the task that it calls."""

    def __init__(
        self, step: str, invocation: Invocation, task: Task, report: Report
    ) -> None:
        self._who = f"Step {step!r}"
        self._invocation = invocation
        self._task = task
        self._report = report
        self._names = [declared.name for declared in task.inputs]

    def check(self) -> None:
        self._check_number()
        self._check_keywords()
        self._check_required()

    def _check_number(self) -> None:
        given, taken = len(self._invocation.positional), len(self._names)
        if given <= taken:
            return
        task = f"task {self._task.name!r} takes {count(taken, 'input')}"
        message = (
            f"{self._who} gives {count(given, 'positional argument')}, but {task}."
        )
        first = self._invocation.positional[taken]
        if taken == 0 and given == 1 and first.value is None:
            message += " To call a task without arguments, write an empty list: []."
        self._report.error(message, first.path)

    def _check_keywords(self) -> None:
        by_position = self._names[: len(self._invocation.positional)]
        for name, argument in self._invocation.keywords.items():
            if name not in self._names:
                hint = suggestion(name, self._names, "It takes none.")
                message = f"{self._who} gives {name!r}, which is no input of task"
                message += f" {self._task.name!r}.{hint}"
            elif name in by_position:
                place = by_position.index(name) + 1
                message = (
                    f"{self._who} gives {name!r} twice: by name, and as positional"
                )
                message += f" argument {place}."
            else:
                continue
            self._report.error(message, argument.path)

    def _check_required(self) -> None:
        given = set(self._invocation.keywords)
        rest = self._task.inputs[len(self._invocation.positional) :]
        lost = [i.name for i in rest if i.required and i.name not in given]
        strays = [n for n in self._invocation.keywords if n not in self._names]
        lost = [name for name in lost if not any(near(s, [name]) for s in strays)]
        if lost:
            message = f"{self._who} calls task {self._task.name!r} without"
            message += f" {listing(lost)}, which it requires."
            self._report.error(message, self._invocation.task_path)
