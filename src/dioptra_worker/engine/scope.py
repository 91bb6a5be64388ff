"""What the names in an entrypoint mean, as the checks need to know it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from dioptra_worker.engine.model import Outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.engine.model import Entrypoint, Output, Step
    from dioptra_worker.engine.references import Reference


@dataclass(frozen=True)
class Scope:
    """Looks names up in an entrypoint.

    Attributes:
        entrypoint: What was declared.
    """

    entrypoint: Entrypoint

    @cached_property
    def outputs(self) -> Mapping[str, Outputs | None]:
        """The outputs of every step and artifact input.

        None stands for outputs that nobody can know, because the step's task or swap
        is wrong: what refers to them is not to blame. A name means a step before a
        parameter, and a parameter before an artifact input.
        """
        found: dict[str, Outputs | None] = {
            name: declared.outputs
            for name, declared in self.entrypoint.artifact_inputs.items()
            if name not in self.entrypoint.parameters
        }
        for step in self.entrypoint.steps.values():
            found[step.name] = self._outputs_of(step)
        return found

    def declares(self, name: str) -> bool:
        """Whether a step or parameter has this name, even one with a dot."""
        return name in self.entrypoint.steps or name in self.entrypoint.parameters

    @property
    def names(self) -> list[str]:
        """Every name that a reference can begin with."""
        return [
            *self.entrypoint.steps,
            *self.entrypoint.parameters,
            *self.entrypoint.artifact_inputs,
        ]

    def output(self, reference: Reference) -> Output | None:
        """Find the declared output that a reference means, if there is one."""
        outputs = self.outputs.get(reference.name)
        if outputs is None:
            return None
        if reference.output is None:
            return outputs.items[0] if len(outputs) == 1 else None
        return outputs.named(reference.output)

    def _outputs_of(self, step: Step) -> Outputs | None:
        tasks = [self.entrypoint.tasks.get(i.task) for i in step.invocations]
        known = next((task.outputs for task in tasks if task is not None), None)
        if known is None or not step.swap:
            return known
        return _renamed(known, step.swap.outputs)


def _renamed(outputs: Outputs, names: tuple[str, ...]) -> Outputs | None:
    """Give outputs the names that a swap declares for them, by position.

    Where the numbers differ, which `check_swaps` reports, nothing can be known.
    """
    if len(outputs) != len(names):
        return None
    items = (replace(o, name=n) for o, n in zip(outputs, names, strict=True))
    return Outputs(tuple(items), outputs.listed)
