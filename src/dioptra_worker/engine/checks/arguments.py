"""Is every argument of a type that the task's input takes?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.engine import references
from dioptra_worker.engine.checks.calls import input_for
from dioptra_worker.engine.typesystem.fit import fits
from dioptra_worker.engine.typesystem.inference import infer
from dioptra_worker.engine.typesystem.types import NOTHING, STRING
from dioptra_worker.engine.wording import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.engine.issues import Report
    from dioptra_worker.engine.model import Argument, Input, Invocation
    from dioptra_worker.engine.references import Reference
    from dioptra_worker.engine.scope import Scope
    from dioptra_worker.engine.typesystem.types import Type


def check_arguments(
    scope: Scope, types: Mapping[str, Type | None], report: Report
) -> None:
    """Report arguments whose type does not fit the input that they are given for."""
    checker = _Arguments(scope, types, report)
    for step in scope.entrypoint.steps.values():
        for invocation in step.invocations:
            checker.check(step.name, invocation)


class _Arguments:
    """Infers the types of arguments from literals and from what they refer to."""

    def __init__(
        self, scope: Scope, types: Mapping[str, Type | None], report: Report
    ) -> None:
        self._scope = scope
        self._types = types
        self._report = report

    def check(self, step: str, invocation: Invocation) -> None:
        task = self._scope.entrypoint.tasks.get(invocation.task)
        if task is None:
            return
        for argument in invocation.arguments:
            declared = input_for(task, argument.key)
            wanted = self._types.get(declared.type) if declared else None
            given = infer(argument.value, self._type_of)
            if declared and wanted and not fits(given, wanted):
                message = _mismatch(step, task.name, argument, declared, given)
                self._report.error(message, argument.path)

    def _type_of(self, reference: Reference) -> Type:
        """Find the type of what a reference means; what is unknown fits everywhere."""
        parameter = self._scope.entrypoint.parameters.get(reference.name)
        if reference.name in self._scope.outputs:
            output = self._scope.output(reference)
            found = self._types.get(output.type) if output else None
        elif parameter is None or reference.output is not None:
            found = None
        elif parameter.type is None:
            found = infer(parameter.default)
        else:
            found = self._types.get(parameter.type)
        return found or NOTHING


def _mismatch(
    step: str, task: str, argument: Argument, declared: Input, given: Type
) -> str:
    message = f"Step {step!r} gives {quote(argument.value)} of type '{given}' for"
    message += f" {declared.name!r} of task {task!r}, which takes {declared.type!r}."
    return message + _hint(argument.value, given)


def _hint(value: Any, given: Type) -> str:
    if given == STRING and not references.parse(value) and value.isidentifier():
        return f" If a step or parameter is meant, write '${value}'."
    return ""
