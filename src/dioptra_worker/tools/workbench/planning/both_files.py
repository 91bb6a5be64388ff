"""What a task graph's file says that its ``dioptra.toml`` does not.

Where there is a ``dioptra.toml``, a job takes types, parameters, tasks and artifact
inputs from it, and what stands of them in the task graph's file counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker import engine
from dioptra_worker.engine.wording import quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECTIONS = {
    "types": ("Type", "under [[plugin_param_types]]"),
    "parameters": ("Parameter", "under 'params' of the entrypoint"),
    "tasks": ("Task", "under [[plugins.tasks.functions]] of a plugin that it names"),
    "artifact_inputs": (
        "Artifact input",
        "under 'artifact_params' of the entrypoint",
    ),
}


def differences(
    document: engine.Document, config: Mapping[str, Any], *, name: str
) -> Iterator[engine.Issue]:
    """Say what only the task graph's file has, and what it has otherwise.

    Args:
        document: The task graph's file.
        config: The configuration that a job gets.
        name: How the ``dioptra.toml`` is called.
    """
    for section, (noun, where) in _SECTIONS.items():
        ours, theirs = document.data.get(section), config.get(section, {})
        if not isinstance(ours, dict):
            continue
        for key in ours:
            if key not in theirs:
                message = f"{noun} {key!r} is declared here only: a job takes what"
                message += f" {name} has {where}.{suggestion(key, theirs)}"
                yield _warning(document, message, (section, key))
    yield from _defaults(document, config, name)


def _defaults(
    document: engine.Document, config: Mapping[str, Any], name: str
) -> Iterator[engine.Issue]:
    parameters = document.data.get("parameters")
    if not isinstance(parameters, dict):
        return
    for key, here in parameters.items():
        there = config.get("parameters", {}).get(key)
        if there is None or _default(here) == _default(there):
            continue
        message = f"Parameter {key!r} has {_words(here)} here, and {_words(there)} in"
        message += f" {name}, which a job takes."
        yield _warning(document, message, ("parameters", key))


def _default(declared: Any) -> tuple[Any, ...]:
    """The default of a parameter, in a tuple; an empty one where it has none."""
    if not isinstance(declared, dict):
        return (declared,)
    if "default" in declared:
        return (declared["default"],)
    return () if "type" in declared or not declared else (declared,)


def _words(declared: Any) -> str:
    default = _default(declared)
    return f"the default {quote(default[0])}" if default else "no default"


def _warning(
    document: engine.Document, message: str, path: tuple[str, str]
) -> engine.Issue:
    place = document.place(path) or (None, None)
    return engine.Issue(engine.Severity.WARNING, message, path, *place)
