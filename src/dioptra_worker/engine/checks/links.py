"""Do references and dependencies lead to something, and never in a circle?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.engine import references
from dioptra_worker.engine.topological_order import cycles
from dioptra_worker.engine.wording import listing, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.engine.issues import Location, Report
    from dioptra_worker.engine.model import Outputs, Step
    from dioptra_worker.engine.references import Reference
    from dioptra_worker.engine.scope import Scope


def check_links(scope: Scope, report: Report) -> None:
    """Report references and dependencies that lead nowhere, or in a circle."""
    steps = scope.entrypoint.steps
    for step in steps.values():
        for reference, path in references_of(step):
            problem = check_reference(reference, scope)
            if problem:
                report.error(f"Step {step.name!r} refers to {problem}", path)
        for name, path in step.dependencies:
            if name not in steps:
                message = f"Step {step.name!r} depends on {name!r}, which is no step."
                report.error(message + suggestion(name, steps), path)
    for cycle in cycles({step.name: needs_of(step, scope) for step in steps.values()}):
        report.error(_cycle_message(cycle), steps[cycle[0]].path)


def references_of(step: Step) -> Iterator[tuple[Reference, Location]]:
    """Yield the references in all arguments that a step may give."""
    for invocation in step.invocations:
        for argument in invocation.arguments:
            yield from references.find(argument.value, argument.path)


def needs_of(step: Step, scope: Scope) -> list[str]:
    """Name the steps that must run before a step, each once, in order of mention."""
    names = [reference.name for reference, _ in references_of(step)]
    names += [name for name, _ in step.dependencies]
    return [n for n in dict.fromkeys(names) if n in scope.entrypoint.steps]


def check_reference(reference: Reference, scope: Scope) -> str | None:
    """Say why a reference leads nowhere, or None when it leads somewhere.

    Returns:
        The end of a sentence that begins "… refers to".
    """
    name = reference.name
    if name in scope.outputs:
        outputs = scope.outputs[name]
        return None if outputs is None else _check_output(reference, outputs, scope)
    if name in scope.entrypoint.parameters:
        if reference.output is None:
            return None
        return f"{str(reference)!r}, but {name!r} is a parameter and has no outputs."
    if scope.declares(str(reference)[1:]):
        return None  # a name with a dot, which `check_names` reports
    escape = f" If the text itself is meant, write '${reference}'."
    hint = suggestion(name, scope.names)
    return f"{str(reference)!r}, but there is no {name!r}.{hint}{escape}"


def _check_output(reference: Reference, outputs: Outputs, scope: Scope) -> str | None:
    noun = "step" if reference.name in scope.entrypoint.steps else "artifact input"
    source = f"{str(reference)!r}, but {noun} {reference.name!r}"
    if not outputs.items:
        return f"{source} has no outputs."
    if reference.output is None and len(outputs) > 1:
        names = [f"${reference.name}.{name}" for name in outputs.names]
        return f"{source} has several outputs; write {listing(names, 'or')}."
    if reference.output is not None and outputs.named(reference.output) is None:
        hint = suggestion(reference.output, outputs.names)
        return f"{source} has no output {reference.output!r}.{hint}"
    return None


def _cycle_message(cycle: list[str]) -> str:
    if len(cycle) == 1:
        return f"Step {cycle[0]!r} needs itself, so it can never run."
    links = ", which needs ".join(repr(name) for name in [*cycle[1:], cycle[0]])
    return f"Steps wait for each other for ever: {cycle[0]!r} needs {links}."
