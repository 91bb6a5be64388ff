"""What may stand in a ``dioptra.toml``; the reader and its reference page follow it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETER_TYPES = ("string", "integer", "float", "boolean", "list", "mapping")
"""The types of an entrypoint's parameters, which the REST API has by these names."""

KINDS: Mapping[str, tuple[Any, ...]] = {
    "a text": (str,),
    "true or false": (bool,),
    "a text, a number, or true or false": (str, int, float, bool),
    "a table": (dict,),
    "a list of texts": (list,),
    "a list of tables": (list,),
}
"""What a value may be, in the words that people read, with Python's types for it."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of a table.

    Attributes:
        kind: One of `KINDS`.
        meaning: What it says, in a phrase.
        required: Whether a table without it is refused.
        keys: The keys of the tables that it holds; None where any may be in them.
        open: Whether these tables may have other keys, too, which count for nothing.
    """

    kind: str
    meaning: str
    required: bool = False
    keys: Mapping[str, Key] | None = field(default=None)
    open: bool = False


_NAME = Key(kind="a text", meaning="its name", required=True)
_TYPE = Key(
    kind="a text",
    meaning="its type: a built-in one, or one of `[[plugin_param_types]]`",
    required=True,
)
_OUTPUT = {"name": _NAME, "type": _TYPE}
_INPUT = {
    **_OUTPUT,
    "required": Key(
        kind="true or false",
        meaning="whether each step must give it; without it, no step of a job must",
    ),
}
_FILE = Key(
    kind="a text",
    meaning="the Python file that defines it, from the plugin's folder on",
    required=True,
)
_DESCRIPTION = Key(kind="a text", meaning="a sentence for people")

_FUNCTION = {
    "filename": _FILE,
    "name": Key(kind="a text", meaning="the function's name", required=True),
    "input_params": Key(
        kind="a list of tables",
        meaning="what it takes, in this order",
        required=True,
        keys=_INPUT,
    ),
    "output_params": Key(
        kind="a list of tables",
        meaning="what it returns: one value, or several in a list or tuple",
        required=True,
        keys=_OUTPUT,
    ),
}
_ARTIFACT_TASK = {
    "filename": _FILE,
    "name": Key(kind="a text", meaning="the class' name", required=True),
    "output_params": Key(
        kind="a list of tables",
        meaning="what its `deserialize` returns",
        required=True,
        keys=_OUTPUT,
    ),
}
_TASKS = {
    "functions": Key(
        kind="a list of tables", meaning="functions that steps call", keys=_FUNCTION
    ),
    "artifacts": Key(
        kind="a list of tables",
        meaning="classes that write and read artifacts",
        keys=_ARTIFACT_TASK,
    ),
}
_PLUGIN = {
    "path": Key(
        kind="a text",
        meaning="its folder, from the folder of this file on; the last part is the"
        " plugin's name",
        required=True,
    ),
    "description": _DESCRIPTION,
    "tasks": Key(
        kind="a table", meaning="what it gives task graphs", keys=_TASKS, open=True
    ),
}
_PARAM_TYPE = {
    "name": _NAME,
    "description": _DESCRIPTION,
    "structure": Key(
        kind="a table",
        meaning="what values are made of, as the [task graph](task-graph.md) has it;"
        " without it the type is only a name",
    ),
}
_PARAMETER = {
    "name": _NAME,
    "type": Key(
        kind="a text",
        meaning=f"one of {', '.join(f'`{name}`' for name in PARAMETER_TYPES)}",
        required=True,
    ),
    "default_value": Key(
        kind="a text, a number, or true or false",
        meaning="its value where a job gives none; lists and mappings, which need one,"
        " as JSON in a text",
    ),
}
_ARTIFACT_PARAMETER = {
    "name": _NAME,
    "output_params": Key(
        kind="a list of tables",
        meaning="the values that the artifact holds",
        required=True,
        keys=_OUTPUT,
    ),
}
_ENTRYPOINT = {
    "path": Key(
        kind="a text",
        meaning="its task graph, a YAML file, from the folder of this file on",
        required=True,
    ),
    "name": Key(kind="a text", meaning="what jobs and people call it", required=True),
    "description": _DESCRIPTION,
    "params": Key(
        kind="a list of tables",
        meaning="the values that a job gives to the task graph",
        keys=_PARAMETER,
    ),
    "artifact_params": Key(
        kind="a list of tables",
        meaning="the artifacts that a job gives to the task graph",
        keys=_ARTIFACT_PARAMETER,
    ),
    "plugins": Key(
        kind="a list of texts", meaning="the plugins whose functions its steps call"
    ),
    "artifact_plugins": Key(
        kind="a list of texts",
        meaning="the plugins whose artifact tasks write what it keeps",
    ),
}
FILE = Key(
    kind="a table",
    meaning="the whole file",
    keys={
        "plugins": Key(
            kind="a list of tables", meaning="folders with code", keys=_PLUGIN
        ),
        "plugin_param_types": Key(
            kind="a list of tables",
            meaning="types of the values that steps pass on",
            keys=_PARAM_TYPE,
        ),
        "entrypoints": Key(
            kind="a list of tables",
            meaning="task graphs with the plugins that they use",
            keys=_ENTRYPOINT,
        ),
    },
    open=True,
)
"""The whole file."""
