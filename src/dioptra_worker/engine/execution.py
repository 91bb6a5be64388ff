"""Run a compiled graph: call the plugin functions in order, hand values on, save."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Protocol

from dioptra_worker.engine import references
from dioptra_worker.engine.errors import (
    ArtifactError,
    EngineError,
    MissingInput,
    OutputError,
    StepError,
)
from dioptra_worker.engine.values import Values, unpack
from dioptra_worker.engine.wording import format_exception, listing, safe_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.engine.graph import CompiledStep, Graph
    from dioptra_worker.engine.model import ArtifactOutput

    Call = Callable[[str, list[Any], dict[str, Any]], Any]
    Save = Callable[[ArtifactOutput, Any], None]
    Returned = Callable[[str, Mapping[str, Any]], None]


class Observer(Protocol):
    """Is told what a run does, as it does it."""

    def step_started(self, step: str, task: str, index: int, total: int) -> None:
        """A step begins.

        Args:
            step: Its name.
            task: The task that it calls.
            index: Which one it is in the order of the run, from 1.
            total: How many steps the graph has.
        """

    def step_finished(self, step: str, seconds: float) -> None:
        """A step has returned.

        Args:
            step: Its name.
            seconds: How long its task took.
        """

    def warning(self, message: str) -> None:
        """Something is probably not as the author meant it.

        Args:
            message: What, in a sentence.
        """


def run(
    graph: Graph,
    *,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, Mapping[str, Any]],
    call: Call,
    save: Save,
    observer: Observer,
    returned: Returned | None = None,
) -> None:
    """Run a graph to its end.

    An output artifact is saved as soon as its contents are complete, in the order of
    declaration among those that are. The output of a step is let go when no later
    step or artifact refers to it. What is no `Exception`, such as a request to stop,
    passes through untouched.

    Args:
        graph: What `compile` returned.
        parameters: Values for the global parameters; they win over defaults.
        artifacts: The input artifacts: each one's outputs by their names.
        call: Calls a plugin function, given its dotted path, positional and keyword
            arguments, and returns what it returns.
        save: Serialises and stores an output artifact, given its contents.
        observer: Is told what happens.
        returned: Is given each step's outputs by their names, once it has run.

    Raises:
        MissingInput: A parameter or artifact input has no value.
        StepError: A plugin function failed.
        OutputError: A step did not produce what is referred to.
        ArtifactError: An output artifact could not be saved.
    """
    values = _start(graph, parameters, artifacts, observer)
    pending = list(graph.artifact_outputs.values())
    pending = _save_complete(graph, pending, values, save)
    total = len(graph.steps)
    for index, step in enumerate(graph.steps, start=1):
        observer.step_started(step.name, step.task, index, total)
        began = time.perf_counter()
        result = _call(step, values, call)
        observer.step_finished(step.name, time.perf_counter() - began)
        outputs = unpack(step, result, observer.warning)
        if returned is not None:
            returned(step.name, outputs)
        values.put(step.name, outputs)
        del result, outputs  # what nobody refers to must not outlive this step
        values.release(graph.sources([*step.args, *step.kwargs.values()]))
        pending = _save_complete(graph, pending, values, save)


def _start(
    graph: Graph,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, Mapping[str, Any]],
    observer: Observer,
) -> Values:
    """Check that everything the graph needs is given, and gather it."""
    uses = [
        source
        for step in graph.steps
        for source in graph.sources([*step.args, *step.kwargs.values()])
    ]
    for artifact in graph.artifact_outputs.values():
        uses += graph.sources(artifact.contents)
    given = {
        name: parameters.get(name, parameter.default)
        for name, parameter in graph.parameters.items()
        if name in parameters or parameter.has_default
    }
    needed = {producer for producer, _ in uses}
    lost_artifacts = [
        n for n in graph.artifact_inputs if n in needed - artifacts.keys()
    ]
    lost_parameters = [name for name in graph.parameters if name not in given]
    if lost_parameters or lost_artifacts:
        raise MissingInput(lost_parameters, lost_artifacts)
    extra = [name for name in parameters if name not in graph.parameters]
    if extra:
        observer.warning(
            f"The job gives a value for {listing(extra)}, which the entrypoint does not"
            " declare under 'parameters'; it is not used."
        )
    values = Values(graph, given, uses)
    for name in graph.artifact_inputs:
        values.put(name, artifacts.get(name, {}))
    return values


def _call(step: CompiledStep, values: Values, call: Call) -> Any:
    args = [
        _resolve(value, values, f"Step {step.name!r}, positional argument {place}")
        for place, value in enumerate(step.args, start=1)
    ]
    kwargs = {
        name: _resolve(value, values, f"Step {step.name!r}, argument {name!r}")
        for name, value in step.kwargs.items()
    }
    try:
        return call(step.plugin, args, kwargs)
    except EngineError:
        raise
    except Exception as error:
        message = f"Step {step.name!r} failed: task {step.task!r} ({step.plugin})"
        message += f" raised {format_exception(error)}"
        raise StepError(
            message,
            step=step.name,
            task=step.task,
            plugin=step.plugin,
            argument=_refused_argument(step, error),
        ) from error


def _resolve(value: Any, values: Values, who: str) -> Any:
    try:
        return references.resolve(value, values.get)
    except OutputError as error:
        message = f"{who}: {error}"
        raise OutputError(message, source=error.source, output=error.output) from None


def _refused_argument(step: CompiledStep, error: Exception) -> str | None:
    """Name the argument that the plugin function itself would not be called with."""
    function = re.escape(step.plugin.rpartition(".")[2])
    pattern = rf"(?:.*\.)?{function}\(\) .*?(?:argument|arguments:?)s?:? '(\w+)'"
    # Of its type alone: what it says its class is, is user code.
    refused = issubclass(type(error), TypeError)
    match = re.match(pattern, safe_str(error)) if refused else None
    return match.group(1) if match else None


def _save_complete(
    graph: Graph, pending: list[ArtifactOutput], values: Values, save: Save
) -> list[ArtifactOutput]:
    """Save the artifacts whose contents are complete; return those that are not."""
    waiting = []
    for artifact in pending:
        sources = graph.sources(artifact.contents)
        if all(values.has(producer) for producer, _ in sources):
            _save(artifact, values, save)
            values.release(sources)
        else:
            waiting.append(artifact)
    return waiting


def _save(artifact: ArtifactOutput, values: Values, save: Save) -> None:
    contents = _resolve(artifact.contents, values, f"Artifact {artifact.name!r}")
    try:
        save(artifact, contents)
    except EngineError:
        raise
    except Exception as error:
        message = (
            f"Artifact {artifact.name!r} (artifact task {artifact.task!r}) could not"
        )
        message += f" be saved: {format_exception(error)}"
        raise ArtifactError(
            message, artifact=artifact.name, task=artifact.task
        ) from error
