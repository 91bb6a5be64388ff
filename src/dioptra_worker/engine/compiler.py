"""Turn a valid entrypoint into a graph that can be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.checks.links import needs_of
from dioptra_worker.engine.errors import InvalidGraph
from dioptra_worker.engine.graph import CompiledStep, Graph
from dioptra_worker.engine.scope import Scope
from dioptra_worker.engine.topological_order import topological_order
from dioptra_worker.engine.validation import inspect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.engine.checks.artifacts import ArtifactTasks
    from dioptra_worker.engine.model import Step
    from dioptra_worker.engine.reading.document import Document


def compile(  # noqa: A001 - the verb that people know, as in re.compile
    config: Mapping[str, Any] | Document, *, artifact_tasks: ArtifactTasks | None = None
) -> Graph:
    """Check an entrypoint and put its steps in order.

    Args:
        config: The document.
        artifact_tasks: As for `validate`.

    Returns:
        The graph to `run`.

    Raises:
        InvalidGraph: Something is wrong with it.
    """
    entrypoint, report = inspect(config, artifact_tasks, chosen=True)
    if entrypoint is None or report.failed:
        raise InvalidGraph(report.issues)
    scope = Scope(entrypoint)
    needs = {name: needs_of(step, scope) for name, step in entrypoint.steps.items()}
    return Graph(
        steps=tuple(
            _step(entrypoint.steps[name], needs[name], scope)
            for name in topological_order(needs)
        ),
        tasks={name: task.plugin for name, task in entrypoint.tasks.items()},
        parameters=entrypoint.parameters,
        artifact_inputs=entrypoint.artifact_inputs,
        artifact_outputs=entrypoint.artifact_outputs,
        warnings=tuple(report.issues),
    )


def _step(step: Step, needs: list[str], scope: Scope) -> CompiledStep:
    invocation = step.invocations[0]
    task = scope.entrypoint.tasks[invocation.task]
    outputs = step.swap.outputs if step.swap else task.outputs.names
    return CompiledStep(
        name=step.name,
        task=task.name,
        plugin=task.plugin,
        args=tuple(argument.value for argument in invocation.positional),
        kwargs={name: a.value for name, a in invocation.keywords.items()},
        outputs=tuple(outputs),
        unpacks=task.outputs.listed,
        needs=frozenset(needs),
    )
