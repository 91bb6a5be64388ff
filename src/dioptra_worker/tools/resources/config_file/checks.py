"""What is wrong with a ``dioptra.toml``, by its lines, before anybody follows it.

The REST API refuses the same, one at a time and in words of its own; what it passes
over in silence, such as a task in a file that is not there, is told here, too.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.issues import Report
from dioptra_worker.engine.typesystem.types import BUILT_IN
from dioptra_worker.engine.wording import (
    kind,
    near,
    quote,
    suggestion,
)
from dioptra_worker.tools.resources.config_file.keys import (
    FILE,
    KINDS,
    PARAMETER_TYPES,
)
from dioptra_worker.tools.resources.names import FITTING, fits
from dioptra_worker.tools.resources.parameters import NotOfType, declared_default

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dioptra_worker.engine.issues import Issue, Location
    from dioptra_worker.tools.resources.config_file.keys import Key
    from dioptra_worker.tools.resources.config_file.places import Places

_PARAMETER_SYNONYMS = {
    "int": "integer",
    "number": "float",
    "double": "float",
    "str": "string",
    "text": "string",
    "bool": "boolean",
    "array": "list",
    "tuple": "list",
    "dict": "mapping",
    "object": "mapping",
}
_UNTYPED = {"list": "[]", "mapping": "{}"}
_TYPE_SYNONYMS = {
    "int": "integer",
    "float": "number",
    "str": "string",
    "bool": "boolean",
    "None": "null",
}
_PLUGIN_NAME = re.compile(r"[A-Za-z]|[A-Za-z_][A-Za-z0-9_]+", re.ASCII)

_Entries = list[tuple["Location", dict[str, Any]]]


def check(data: Mapping[str, Any], places: Places, folder: Path | None) -> list[Issue]:
    """Find everything that is wrong with a ``dioptra.toml``.

    What the tables mean is looked at when they have the form that they must have.

    Args:
        data: What it says.
        places: Where it says it.
        folder: The folder that it lies in; None if only the form counts.
    """
    report = Report(places.place)
    _check_keys(data, FILE, (), "the file", report)
    if folder is not None and not report.failed:
        _Meaning(data, folder, report).check()
    return report.issues


def _check_keys(
    table: Mapping[str, Any], holder: Key, path: Location, where: str, report: Report
) -> None:
    keys = holder.keys
    if keys is None:
        return
    unknown = [name for name in table if name not in keys]
    for name in unknown:
        if not holder.open:
            message = f"{name!r} is no key of {where}.{suggestion(name, keys)}"
            report.error(message, (*path, name))
        elif near(name, keys) is not None:
            message = f"{name!r} is read by nobody in {where}.{suggestion(name, keys)}"
            report.error(message, (*path, name))
    for name, key in keys.items():
        if name in table:
            _check_value(table[name], key, (*path, name), report)
        elif key.required and near(name, unknown) is None:
            report.error(f"{_begin(where)} has no {name!r}: {key.meaning}.", path)


def _check_value(value: Any, key: Key, path: Location, report: Report) -> None:
    name = str(path[-1])
    if not isinstance(value, KINDS[key.kind]) or (
        isinstance(value, bool) and bool not in KINDS[key.kind]
    ):
        brackets = ""
        if key.kind == "a list of tables" and len(path) == 1:
            brackets = f": write [[{name}]] with two brackets, one for each"
        message = f"{name!r} must be {key.kind}, not {kind(value)}{brackets}."
        report.error(message, path)
        return
    where = _where(path)
    if key.kind == "a table":
        _check_keys(value, key, path, where, report)
    elif isinstance(value, list):
        tables = key.kind == "a list of tables"
        for number, item in enumerate(value):
            if tables and isinstance(item, dict):
                whose = f"number {number + 1} of {where}"
                _check_keys(item, key, (*path, number), whose, report)
            elif tables or not isinstance(item, str):
                word = "a table" if tables else "a text"
                message = f"Number {number + 1} of {name!r} must be {word}, not"
                report.error(f"{message} {kind(item)}.", (*path, number))


def _where(path: Location) -> str:
    names = [part for part in path if isinstance(part, str)]
    if names[0] in {"plugins", "entrypoints", "plugin_param_types"} and (
        len(names) == 1 or names[1] == "tasks"
    ):
        return f"[[{'.'.join(names)}]]" if names[-1] != "tasks" else "[plugins.tasks]"
    return f"{names[-1]!r}"


def _begin(words: str) -> str:
    return words[0].upper() + words[1:]


class _Meaning:
    """What the tables of one file say of each other, and of the files beside it."""

    def __init__(self, data: Mapping[str, Any], folder: Path, report: Report) -> None:
        self._folder = folder
        self._report = report
        self._plugins = _entries(data, (), "plugins")
        self._types = _entries(data, (), "plugin_param_types")
        self._entrypoints = _entries(data, (), "entrypoints")
        self._known_types = {*BUILT_IN, *(entry["name"] for _, entry in self._types)}
        self._names = [Path(entry["path"]).name for _, entry in self._plugins]

    def check(self) -> None:
        self._check_types()
        self._check_plugins()
        self._check_entrypoints()

    def _check_types(self) -> None:
        self._check_twice("type", self._types)
        self._check_names("type", self._types)

    def _check_plugins(self) -> None:
        self._check_twice(
            "plugin",
            [
                (path, {**entry, "name": name})
                for (path, entry), name in zip(self._plugins, self._names, strict=True)
            ],
        )
        for (path, entry), name in zip(self._plugins, self._names, strict=True):
            place = (*path, "path")
            if not _PLUGIN_NAME.fullmatch(name):
                message = f"{name!r} cannot be a plugin's name: its folder is named"
                message += " with ASCII letters, digits and '_', and no digit first."
                self._report.error(message, place)
            folder = self._folder / entry["path"]
            if not folder.is_dir():
                message = f"This names the plugin {entry['path']!r}, but there is no"
                message += f" such folder.{_beside(folder)}"
                self._report.error(message, place)
                continue
            tasks = entry.get("tasks", {})
            functions = _entries(tasks, (*path, "tasks"), "functions")
            artifacts = _entries(tasks, (*path, "tasks"), "artifacts")
            self._check_tasks("task", functions, folder)
            self._check_tasks("artifact task", artifacts, folder)

    def _check_tasks(self, what: str, tasks: _Entries, folder: Path) -> None:
        self._check_twice(what, tasks)
        for path, task in tasks:
            self._check_file(what, task, path, folder)
            for part in ("input_params", "output_params"):
                given = _entries(task, path, part)
                word = "input" if part == "input_params" else "output"
                self._check_twice(f"{word} of {what} {task['name']!r}", given)
                self._check_type_of(f"{word} %r of {what} {task['name']!r}", given)

    def _check_file(
        self, what: str, task: Mapping[str, Any], path: Location, folder: Path
    ) -> None:
        name = task["filename"]
        if (folder / name).is_file() and name == PurePosixPath(name).as_posix():
            return
        files = [file.relative_to(folder).as_posix() for file in folder.rglob("*.py")]
        message = f"{_begin(what)} {task['name']!r} is said to be in {name!r}, but the"
        message += f" plugin {folder.name!r} has no such file."
        self._report.error(
            message + suggestion(name, sorted(files), "It has no Python file."),
            (*path, "filename"),
        )

    def _check_entrypoints(self) -> None:
        self._check_twice("entrypoint", self._entrypoints)
        self._check_names("entrypoint", self._entrypoints)
        for path, entry in self._entrypoints:
            file = self._folder / entry["path"]
            if not file.is_file():
                message = f"This names the task graph {entry['path']!r}, but there is"
                message += f" no such file.{_beside(file)}"
                self._report.error(message, (*path, "path"))
            whose = f"of entrypoint {entry['name']!r}"
            for part in ("plugins", "artifact_plugins"):
                self._check_plugins_of(entry, (*path, part), whose)
            inputs = _entries(entry, path, "artifact_params")
            self._check_twice(f"artifact parameter {whose}", inputs)
            for place, given in inputs:
                outputs = _entries(given, place, "output_params")
                words = f"output of artifact parameter {given['name']!r}"
                self._check_twice(words, outputs)
                self._check_type_of(f"output %r of {words[10:]}", outputs)
            self._check_parameters(_entries(entry, path, "params"), whose)

    def _check_plugins_of(
        self, entry: Mapping[str, Any], path: Location, whose: str
    ) -> None:
        for number, name in enumerate(entry.get(str(path[-1]), ())):
            if name not in self._names:
                message = f"{str(path[-1])!r} {whose} has {name!r}, and no"
                message += f" [[plugins]] is called so.{suggestion(name, self._names)}"
                self._report.error(message, (*path, number))

    def _check_parameters(self, parameters: _Entries, whose: str) -> None:
        self._check_twice(f"parameter {whose}", parameters)
        for path, declared in parameters:
            name, named = declared["name"], declared["type"]
            if named not in PARAMETER_TYPES:
                meant = _PARAMETER_SYNONYMS.get(named)
                hint = suggestion(meant or named, PARAMETER_TYPES)
                message = f"Parameter {name!r} is of type {named!r}, which parameters"
                message += f" of an entrypoint cannot be.{hint}"
                self._report.error(message, (*path, "type"))
                continue
            try:
                declared_default(declared)
            except NotOfType as error:
                message = f"The default of parameter {name!r}: {error}."
                self._report.error(message, (*path, "default_value"))
            if named in _UNTYPED and declared.get("default_value") is None:
                message = f"Parameter {name!r} needs a 'default_value', such as"
                message += f" {_UNTYPED[named]!r}: task graphs have no parameters of"
                self._report.error(f"{message} type {named!r} without.", path)

    def _check_twice(self, what: str, entries: _Entries) -> None:
        seen: set[str] = set()
        for path, entry in entries:
            if entry["name"] in seen:
                message = (
                    f"There are two of the name {entry['name']!r}: each {what} needs"
                )
                self._report.error(f"{message} a name of its own.", path)
            seen.add(entry["name"])

    def _check_names(self, what: str, entries: _Entries) -> None:
        for path, entry in entries:
            if not fits(entry["name"]):
                message = f"{quote(entry['name'])} cannot be the name of this {what}:"
                self._report.error(f"{message} {FITTING}.", (*path, "name"))

    def _check_type_of(self, words: str, entries: _Entries) -> None:
        for path, entry in entries:
            named = entry["type"]
            if named in self._known_types:
                continue
            meant = _TYPE_SYNONYMS.get(named)
            known = sorted(self._known_types)
            message = f"{_begin(words % entry['name'])} is of type {named!r}, which is"
            message += " neither built in nor one of [[plugin_param_types]]."
            hint = suggestion(meant or named, known)
            self._report.error(message + hint, (*path, "type"))


def _entries(table: Mapping[str, Any], path: Location, name: str) -> _Entries:
    """The tables of a list, each with its place."""
    return [((*path, name, i), entry) for i, entry in enumerate(table.get(name, ()))]


def _beside(missing: Path) -> str:
    """What is probably meant, of what lies beside a path that leads nowhere."""
    folder = missing.parent
    names: Iterable[str] = ()
    if folder.is_dir():
        names = sorted(entry.name for entry in folder.iterdir())
    meant = near(missing.name, names)
    return f" Did you mean {meant!r}?" if meant else ""
