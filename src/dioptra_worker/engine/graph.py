"""A compiled entrypoint: checked, swaps resolved, steps in the order they will run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine import references

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.engine.issues import Issue
    from dioptra_worker.engine.model import ArtifactInput, ArtifactOutput, Parameter

Source = tuple[str, str]
"""A value that flows through the graph: who produces it, and the output's name."""


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """One call of a plugin function.

    Attributes:
        name: The step's name.
        task: The name of the task it calls.
        plugin: The dotted path of the plugin function.
        args: Positional arguments, with references in them.
        kwargs: Keyword arguments, with references in them.
        outputs: The names of the outputs, in order.
        unpacks: Whether the returned value is taken apart into the outputs.
        needs: The steps that must have run before.
    """

    name: str
    task: str
    plugin: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[str, ...]
    unpacks: bool
    needs: frozenset[str]


@dataclass(frozen=True)
class Graph:
    """A compiled entrypoint.

    Attributes:
        steps: The steps, in the order in which they run.
        tasks: The dotted path of each declared task's plugin function.
        parameters: The global parameters.
        artifact_inputs: The artifacts that a job is given.
        artifact_outputs: The artifacts that a job produces.
        warnings: What validation found that does not refuse the entrypoint.
    """

    steps: tuple[CompiledStep, ...]
    tasks: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    artifact_inputs: Mapping[str, ArtifactInput]
    artifact_outputs: Mapping[str, ArtifactOutput]
    warnings: tuple[Issue, ...] = ()

    def plugins(self) -> set[str]:
        """The dotted paths of the plugin functions that the steps call."""
        return {step.plugin for step in self.steps}

    @cached_property
    def producers(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the outputs of each step and artifact input.

        A name means a step before a parameter, and a parameter before an artifact
        input; validation warns where that matters.
        """
        inputs = {
            name: tuple(declared.outputs.names)
            for name, declared in self.artifact_inputs.items()
            if name not in self.parameters
        }
        return inputs | {step.name: step.outputs for step in self.steps}

    def sources(self, value: Any) -> set[Source]:
        """Find which outputs of steps and artifact inputs a value refers to."""
        found = set()
        for reference, _ in references.find(value):
            outputs = self.producers.get(reference.name)
            if outputs:
                found.add((reference.name, reference.output or outputs[0]))
        return found
