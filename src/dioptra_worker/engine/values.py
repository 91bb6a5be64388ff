"""The values that flow through a running graph, kept only while somebody needs them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.errors import OutputError
from dioptra_worker.engine.wording import count, kind, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dioptra_worker.engine.graph import CompiledStep, Graph, Source
    from dioptra_worker.engine.references import Reference


class Values:
    """Holds parameters, input artifacts and the outputs of steps during a run.

    Every step and output artifact that refers to an output is one use of it. What has
    no use left is let go at once, so that the memory needed follows the graph.

    Args:
        graph: What runs.
        parameters: The values of the global parameters.
        uses: How often each output will be used.
    """

    def __init__(
        self, graph: Graph, parameters: Mapping[str, Any], uses: Iterable[Source]
    ) -> None:
        self._producers = graph.producers
        self._parameters = parameters
        self._uses = Counter(uses)
        self._held: dict[Source, Any] = {}
        self._produced: dict[str, int] = {}

    def put(self, producer: str, values: Mapping[str, Any]) -> None:
        """Take over what a step or artifact input produced."""
        self._produced[producer] = len(values)
        for output, value in values.items():
            if self._uses[producer, output]:
                self._held[producer, output] = value

    def get(self, reference: Reference) -> Any:
        """Look a reference up.

        Raises:
            OutputError: The step produced fewer values than it declares outputs.
        """
        outputs = self._producers.get(reference.name)
        if outputs is None:
            return self._parameters[reference.name]
        source = (reference.name, reference.output or outputs[0])
        if source not in self._held:
            raise self._missing(source, reference)
        return self._held[source]

    def release(self, sources: Iterable[Source]) -> None:
        """Note that one use of each of these is over."""
        for source in sources:
            self._uses[source] -= 1
            if not self._uses[source]:
                self._held.pop(source, None)

    def has(self, producer: str) -> bool:
        """Whether a step or artifact input has produced its outputs."""
        return producer in self._produced

    def _missing(self, source: Source, reference: Reference) -> OutputError:
        name, output = source
        number = count(self._produced.get(name, 0), "value")
        message = f"{str(reference)!r} has no value: {name!r} declares the outputs"
        message += f" {listing(self._producers[name])} but produced {number}."
        return OutputError(message, source=name, output=output)


def unpack(
    step: CompiledStep, returned: Any, warn: Callable[[str], None]
) -> dict[str, Any]:
    """Give what a plugin function returned the names of the step's outputs.

    Args:
        step: The step that called it.
        returned: What it returned.
        warn: Called with a sentence when there are more or fewer values than outputs.

    Returns:
        The values by output names; as many as there are of both.

    Raises:
        OutputError: The outputs are a list and the value cannot be taken apart.
    """
    if not step.outputs:
        return {}
    if not step.unpacks:
        return {step.outputs[0]: returned}
    try:
        iterator = iter(returned)
    except TypeError as error:
        message = (
            f"Step {step.name!r} declares the outputs {listing(step.outputs)} as a"
        )
        message += f" list, so {step.plugin!r} must return a list or tuple; it returned"
        message += (
            f" {kind(returned)}. To keep the value whole, declare one output that"
        )
        message += " is not in a list."
        raise OutputError(message, source=step.name, output=None) from error
    if isinstance(returned, dict | str):
        message = (
            f"Step {step.name!r} declares its outputs as a list, and {step.plugin!r}"
        )
        part = "keys" if isinstance(returned, dict) else "letters"
        warn(f"{message} returned {kind(returned)}: its {part} are the outputs.")
    values = dict(zip(step.outputs, iterator, strict=False))
    number = _length(returned, len(values))
    if number != len(step.outputs):
        outputs = count(len(step.outputs), "output")
        message = f"Step {step.name!r} declares {outputs}, but {step.plugin!r} returned"
        warn(f"{message} {count(number, 'value')}.")
    return values


def _length(returned: Any, taken: int) -> int:
    """Count the values; of those that have no length, only what was taken is known."""
    try:
        return len(returned)
    except TypeError:
        return taken
