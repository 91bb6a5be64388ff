"""The errors of the engine.

.. code-block:: text

    EngineError
     ├─ InvalidGraph    the entrypoint is refused before its first step
     ├─ MissingInput    the job gives no value for a parameter or an artifact input
     ├─ StepError       a plugin function failed
     ├─ OutputError     a step or artifact input did not produce what is referred to
     └─ ArtifactError   an output artifact could not be saved

The engine imports nothing of the rest of the package, so the tree is its own. What a
program wants to look at is an attribute; the message is for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.engine.wording import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.engine.issues import Issue


class EngineError(Exception):
    """Root of every error that the engine raises on purpose."""


class InvalidGraph(EngineError):
    """The entrypoint is refused before its first step.

    Attributes:
        issues: Everything that validation found, warnings too.
    """

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(str(issue) for issue in self.issues))


class MissingInput(EngineError):
    """The job gives no value for something that the entrypoint needs.

    Attributes:
        parameters: Global parameters without a value and without a default.
        artifacts: Artifact inputs that the graph refers to and that were not given.
    """

    def __init__(self, parameters: Sequence[str], artifacts: Sequence[str]) -> None:
        self.parameters = tuple(parameters)
        self.artifacts = tuple(artifacts)
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        parts = []
        if self.parameters:
            names = listing(self.parameters)
            parts.append(f"no value for {names}, which has no default in 'parameters'")
        if self.artifacts:
            names = listing(self.artifacts)
            parts.append(f"no artifact for {names} of 'artifact_inputs'")
        return f"The job gives {' and '.join(parts)}. Set it when creating the job."


class StepError(EngineError):
    """A plugin function failed; the cause is the exception that it raised.

    Attributes:
        step: The step's name.
        task: The task that the step calls.
        plugin: The dotted path of the plugin function.
        argument: The argument that the function would not take, if that is why.
    """

    def __init__(
        self, message: str, *, step: str, task: str, plugin: str, argument: str | None
    ) -> None:
        self.step = step
        self.task = task
        self.plugin = plugin
        self.argument = argument
        super().__init__(message)


class OutputError(EngineError):
    """A step or an artifact input did not produce what is referred to.

    Attributes:
        source: The step or artifact input.
        output: The output's name, or None when it is about all of them.
    """

    def __init__(self, message: str, *, source: str, output: str | None) -> None:
        self.source = source
        self.output = output
        super().__init__(message)


class ArtifactError(EngineError):
    """An output artifact could not be saved; the cause is what went wrong.

    Attributes:
        artifact: The artifact's name in 'artifact_outputs'.
        task: The artifact task that serialises it.
    """

    def __init__(self, message: str, *, artifact: str, task: str) -> None:
        self.artifact = artifact
        self.task = task
        super().__init__(message)
