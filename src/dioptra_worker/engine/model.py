"""What an entrypoint declares, as frozen records: the document without its syntax.

`reader.read` builds these from a document whose shape is right. Every record keeps its
place, so that what is wrong with it can be shown where the author wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.engine.issues import Location


@dataclass(frozen=True, slots=True)
class Input:
    """One declared input of a task."""

    name: str
    type: str
    required: bool
    path: Location


@dataclass(frozen=True, slots=True)
class Output:
    """One declared output of a task or of an artifact input."""

    name: str
    type: str
    path: Location


@dataclass(frozen=True, slots=True)
class Outputs:
    """All declared outputs of a task or of an artifact input.

    Attributes:
        items: The outputs, in order.
        listed: Whether they were declared as a list: then the value that is produced
            is taken apart, and otherwise it is the one output itself.
    """

    items: tuple[Output, ...] = ()
    listed: bool = True

    def __iter__(self) -> Iterator[Output]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def names(self) -> list[str]:
        """The outputs' names, in order."""
        return [output.name for output in self.items]

    def named(self, name: str) -> Output | None:
        """Find an output by its name."""
        return next((output for output in self.items if output.name == name), None)


@dataclass(frozen=True, slots=True)
class Task:
    """One entry of the section 'tasks': a plugin function and its signature."""

    name: str
    plugin: str
    inputs: tuple[Input, ...]
    outputs: Outputs
    path: Location


@dataclass(frozen=True, slots=True)
class Parameter:
    """One global parameter.

    Attributes:
        name: Its name.
        type: The declared type's name, or None when it follows from the default.
        default: The value to use when a job gives none.
        has_default: Whether there is a default; None can be one.
        path: Where it is declared.
        default_path: Where its default is written.
    """

    name: str
    type: str | None
    default: Any
    has_default: bool
    path: Location
    default_path: Location


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an invocation: its position or keyword, value and place."""

    key: int | str
    value: Any
    path: Location


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call of a task with its arguments, as a step or a swap's choice writes it.

    Attributes:
        task: The task's name.
        arguments: The arguments, positional ones first.
        path: Where the invocation is.
        task_path: Where the task is named.
    """

    task: str
    arguments: tuple[Argument, ...]
    path: Location
    task_path: Location

    @property
    def positional(self) -> tuple[Argument, ...]:
        """The arguments given by position."""
        return tuple(a for a in self.arguments if isinstance(a.key, int))

    @property
    def keywords(self) -> dict[str, Argument]:
        """The arguments given by name."""
        return {a.key: a for a in self.arguments if isinstance(a.key, str)}


@dataclass(frozen=True, slots=True)
class Swap:
    """A step's task left open: the job chooses one of several invocations.

    Attributes:
        name: The swap's name, without the question mark.
        outputs: The names that the rest of the graph uses for the task's outputs.
        choices: The invocations by their aliases.
        path: Where the swap is.
    """

    name: str
    outputs: tuple[str, ...]
    choices: Mapping[str, Invocation]
    path: Location


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the graph.

    Attributes:
        name: The step's name.
        invocation: The call it makes, or the swap that decides which.
        dependencies: The steps it waits for by declaration, with their places.
        path: Where the step is.
    """

    name: str
    invocation: Invocation | Swap
    dependencies: tuple[tuple[str, Location], ...]
    path: Location

    @property
    def swap(self) -> Swap | None:
        """The swap, when the step has one."""
        return self.invocation if isinstance(self.invocation, Swap) else None

    @property
    def invocations(self) -> tuple[Invocation, ...]:
        """Every call that the step may make."""
        if isinstance(self.invocation, Swap):
            return tuple(self.invocation.choices.values())
        return (self.invocation,)


@dataclass(frozen=True, slots=True)
class ArtifactInput:
    """One artifact that a job of this entrypoint is given."""

    name: str
    outputs: Outputs
    path: Location


@dataclass(frozen=True, slots=True)
class ArtifactOutput:
    """One artifact that a job of this entrypoint produces.

    Attributes:
        name: The artifact's name.
        contents: A reference to what is saved, or a plain string.
        task: The artifact task that serialises it.
        args: Further keyword arguments of that task, passed as they are written.
        path: Where it is declared.
    """

    name: str
    contents: str
    task: str
    args: Mapping[str, Any]
    path: Location = ()


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """A whole document. Each mapping is from names, in the order of declaration."""

    types: Mapping[str, Any]
    parameters: Mapping[str, Parameter]
    artifact_inputs: Mapping[str, ArtifactInput]
    tasks: Mapping[str, Task]
    steps: Mapping[str, Step]
    artifact_outputs: Mapping[str, ArtifactOutput]
