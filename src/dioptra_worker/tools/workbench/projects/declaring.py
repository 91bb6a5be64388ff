"""What the code of plugins declares of itself: tasks, and the types that they need."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dioptra_worker import engine
from dioptra_worker.engine.reading.sources import Unfound
from dioptra_worker.engine.typesystem.types import BUILT_IN
from dioptra_worker.tools.resources.plugin_files import plugin_files
from dioptra_worker.tools.workbench.planning import discovered
from dioptra_worker.tools.workbench.projects import hints

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from dioptra_worker.engine.reading.sources import Function


@dataclass
class Types:
    """The types of a ``dioptra.toml``, and those that are added to them.

    Attributes:
        known: The structure of each, by its name; None of one that is only a name.
        added: Those that were not there.
    """

    known: dict[str, Any] = field(default_factory=dict)
    added: dict[str, Any] = field(default_factory=dict)

    def name(self, found: Any) -> str:
        """The name of a type, which is added if need be."""
        for inner in hints.names_in(found):
            if inner not in BUILT_IN and inner not in self.known:
                self._add(inner, None)
        if isinstance(found, str):
            return found
        for name, known in self.known.items():
            if known == found:
                return name
        name = hints.name_of(found)
        while name in self.known:
            name += "_"
        self._add(name, found)
        return name

    def _add(self, name: str, structure: Any) -> None:
        self.known[name] = self.added[name] = structure


def functions(plugin: Path) -> dict[tuple[str, str], Function]:
    """The tasks that a plugin registers, by file and name."""
    sources = engine.Sources(plugin.parent)
    found: dict[tuple[str, str], Function] = {}
    for file in plugin_files(plugin).code:
        module = f"{plugin.name}.{file.removesuffix('.py').replace('/', '.')}"
        there = sources.functions(module)
        if isinstance(there, Unfound):
            continue  # the check says what is wrong with it
        found |= {(file, one.name): one for one in there.values() if one.registered}
    return found


def artifact_tasks(plugin: Path) -> list[tuple[str, str]]:
    """The artifact tasks of a plugin, as files and names."""
    return [
        (f"{task.module.replace('.', '/')}.py", task.name)
        for task in discovered.artifact_tasks((plugin,))
    ]


def inputs(
    function: Function, declared: Sequence[Mapping[str, Any]], types: Types
) -> list[dict[str, Any]]:
    """What a function takes; what people have chosen already stays.

    Args:
        function: The function.
        declared: What is declared of it so far.
        types: The types that there are.
    """
    before = {one["name"]: one for one in declared}
    found = []
    for name in (*function.positional, *function.only_named):
        known = before.get(name, {})
        written = hints.structure(function.annotations.get(name, ""))
        named = known.get("type") or types.name(written)
        required = name in function.required or known.get("required", False)
        found.append({"name": name, "type": named, "required": required})
    return found


def outputs(function: Function, types: Types) -> list[dict[str, Any]]:
    """What a function gives, by what it is said to return."""
    found = hints.outputs(function.returns)
    if len(found) == 1:
        return [{"name": "value", "type": types.name(found[0])}]
    return [
        {"name": f"value_{number}", "type": types.name(one)}
        for number, one in enumerate(found, start=1)
    ]


def function_table(file: str, name: str, task: Mapping[str, Any]) -> list[str]:
    """The lines of a task."""
    return [
        "  [[plugins.tasks.functions]]",
        f"  filename = {_toml(file)}",
        f"  name = {_toml(name)}",
        *_parameters("input_params", task["input_params"]),
        *_parameters("output_params", task["output_params"]),
    ]


def artifact_table(file: str, name: str, outputs: Sequence[Any]) -> list[str]:
    """The lines of an artifact task."""
    return [
        "  [[plugins.tasks.artifacts]]",
        f"  filename = {_toml(file)}",
        f"  name = {_toml(name)}",
        *_parameters("output_params", outputs),
    ]


def type_table(name: str, structure: Any) -> list[str]:
    """The lines of a type."""
    lines = ["[[plugin_param_types]]", f"name = {_toml(name)}"]
    if structure is not None:
        lines.append(f"structure = {_toml(structure)}")
    return lines


def _parameters(key: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if len(entries) < 2:
        yield f"  {key} = {_toml(list(entries))}"
        return
    yield f"  {key} = ["
    for entry in entries:
        yield f"    {_toml(entry)},"
    yield "  ]"


def _toml(value: Any) -> str:
    """A value in one line of TOML."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
