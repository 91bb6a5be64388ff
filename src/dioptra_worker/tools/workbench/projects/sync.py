"""Keeps a ``dioptra.toml`` in step with the code of its plugins.

Only the tables of tasks that have changed are written anew; everything else stays as
people have written it, comments and order included, and so do the types that they have
chosen for inputs and outputs.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from dioptra_worker import engine
from dioptra_worker.tools.resources.config_file.checks import check
from dioptra_worker.tools.resources.config_file.places import Places
from dioptra_worker.tools.resources.errors import BadResources
from dioptra_worker.tools.resources.findings import Finding, refusals
from dioptra_worker.tools.resources.folders import ResourceFolder
from dioptra_worker.tools.workbench.errors import InvalidRequest
from dioptra_worker.tools.workbench.planning import discovered
from dioptra_worker.tools.workbench.planning.entrypoint import of_entry
from dioptra_worker.tools.workbench.projects import declaring
from dioptra_worker.tools.workbench.projects.declaring import Types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dioptra_worker.engine.issues import Location


@dataclass
class Changes:
    """What has to be written, so that all is in step.

    Attributes:
        files: The new texts of files.
        said: What changes, a phrase for each.
    """

    files: dict[Path, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Write the files.

        Raises:
            OSError: One cannot be written.
        """
        for file, text in self.files.items():
            newline = "\r\n" if b"\r\n" in file.read_bytes() else "\n"
            file.write_text(text, encoding="utf-8", newline=newline)


def changes(folder: ResourceFolder) -> Changes:
    """Find what is not in step.

    Args:
        folder: The folder, whose code is read, not run.

    Raises:
        InvalidRequest: The file has tasks in a form that is not written anew.
        InvalidEntrypoint: A task graph cannot be read.
        BadResources: The file says what keeps a task graph from being read with it.
    """
    found = Changes()
    text = folder.file.read_bytes().decode("utf-8")
    new = _Toml(folder, text, found.said).text()
    if new != text:
        found.files[folder.file] = new
    places = Places(new.replace("\r\n", "\n"))
    try:
        config = tomllib.loads(new)
    except tomllib.TOMLDecodeError as error:
        raise _not_by_us(folder.file, "its tables of tasks") from error
    declared = ResourceFolder(folder.path, config, folder.name, places)
    try:
        for entry in declared.entries:
            _graph(declared, entry, found)
    except (LookupError, TypeError, ValueError) as error:
        issues = [Finding(folder.file, it) for it in check(config, places, folder.path)]
        if not refusals(issues):
            raise
        raise BadResources(issues) from error
    return found


class _Toml:
    """The text of a ``dioptra.toml``, and what becomes of it."""

    def __init__(self, folder: ResourceFolder, text: str, said: list[str]) -> None:
        self._folder = folder
        self._text = text
        self._lines = _lines(text)
        self._said = said
        self._headers = folder.places.headers
        self._edits: list[tuple[int, int, list[str]]] = []
        self._types = Types(folder.structures)

    def text(self) -> str:
        """The new text."""
        for number, plugin in enumerate(self._folder.config.get("plugins", ())):
            self._plugin(number, plugin)
        if self._types.added:
            self._edits.append(self._new_types())
        if not self._edits:
            return self._text
        for start, end, lines in sorted(self._edits, reverse=True):
            self._lines[start:end] = lines
        return "\n".join([*self._lines, ""])

    def _plugin(self, number: int, plugin: Mapping[str, Any]) -> None:
        path = self._folder.path / plugin["path"]
        tasks = plugin.get("tasks", {})
        functions = declaring.functions(path)
        new: list[str] = []
        for place, task in enumerate(tasks.get("functions", ())):
            span = self._span(("plugins", number, "tasks", "functions", place))
            key = (task["filename"], task["name"])
            if key not in functions:
                self._lost(path, task, span)
                continue
            given = declaring.inputs(
                functions.pop(key), task["input_params"], self._types
            )
            before = [{"required": False} | one for one in task["input_params"]]
            if given != before:
                self._said.append(f"changed task {task['name']!r}")
                lines = declaring.function_table(*key, {**task, "input_params": given})
                self._edits.append((*span, lines))
        for key, function in functions.items():
            self._said.append(f"added task {key[1]!r}")
            task = {
                "input_params": declaring.inputs(function, (), self._types),
                "output_params": declaring.outputs(function, self._types),
            }
            new += ["", *declaring.function_table(*key, task)]
        new += self._artifacts(path, tasks.get("artifacts", ()))
        if new:
            end = self._end_of_plugin(number, tasks)
            self._edits.append((end, end, new))

    def _artifacts(self, path: Path, declared: Any) -> Iterator[str]:
        known = {(task["filename"], task["name"]) for task in declared}
        for file, name in declaring.artifact_tasks(path):
            if (file, name) not in known:
                self._said.append(f"added artifact task {name!r}")
                outputs = [{"name": "value", "type": "any"}]
                yield from ("", *declaring.artifact_table(file, name, outputs))

    def _lost(
        self, plugin: Path, task: Mapping[str, Any], span: tuple[int, int]
    ) -> None:
        """Take out a task whose function is not there any more, if that is sure."""
        file = plugin / task["filename"]
        names = discovered.names(file) if file.is_file() else set()
        if names is not None and task["name"] not in names:
            self._said.append(f"removed task {task['name']!r}")
            start, end = span
            if start and not self._lines[start - 1].strip():
                start -= 1
            self._edits.append((start, end, []))

    def _span(self, path: Location) -> tuple[int, int]:
        """The lines of a table, counted from 0, without what stands behind it."""
        line, _ = self._folder.places.place(path) or (0, 0)
        if line not in self._headers:
            raise InvalidRequest(
                f"{self._folder.file}:{line}: the tasks here are written within a"
                " value: write each as a table of its own, [[plugins.tasks.functions]]"
            )
        return line - 1, self._end(line)

    def _end(self, line: int) -> int:
        """Behind the last line of the table that begins in a line."""
        later = [header for header in self._headers if header > line]
        end = min(later) - 1 if later else len(self._lines)
        while end > line and _is_empty(self._lines[end - 1]):
            end -= 1
        return end

    def _end_of_plugin(self, number: int, tasks: Mapping[str, Any]) -> int:
        """Behind the last line of a plugin and its tasks."""
        path: Location = ("plugins", number)
        lines = [self._folder.places.place(path)]
        for kind in ("functions", "artifacts"):
            lines += [
                self._folder.places.place((*path, "tasks", kind, place))
                for place in range(len(tasks.get(kind, ())))
            ]
        return self._end(max(line[0] for line in lines if line))

    def _new_types(self) -> tuple[int, int, list[str]]:
        known = self._folder.config.get("plugin_param_types", ())
        lines: list[str] = []
        for name, structure in self._types.added.items():
            self._said.append(f"added type {name!r}")
            lines += [*declaring.type_table(name, structure), ""]
        if known:
            path: Location = ("plugin_param_types", len(known) - 1)
            line, _ = self._folder.places.place(path) or (1, 1)
            end = self._end(line)
            return end, end, ["", *lines[:-1]]
        first = min(self._headers, default=len(self._lines) + 1) - 1
        while first and self._lines[first - 1].startswith("#"):
            first -= 1
        return first, first, lines


def _is_empty(line: str) -> bool:
    """Whether a line has nothing but a comment, which belongs to what follows."""
    return not line.strip() or line.lstrip().startswith("#")


def _graph(folder: ResourceFolder, entry: Mapping[str, Any], found: Changes) -> None:
    """Bring the sections of a task graph in step that its file need not have."""
    entrypoint = of_entry(folder, entry)
    document, config = entrypoint.document, entrypoint.config
    ours = document.data.get("tasks")
    if not isinstance(ours, dict):
        return
    types = document.data.get("types") or {}
    lacking = {k: v for k, v in config.get("types", {}).items() if k not in types}
    tasks = config.get("tasks", {})
    if _meaning(ours) == _meaning(tasks):
        return
    sections = {"tasks": tasks} | ({"types": {**types, **lacking}} if lacking else {})
    try:
        text = entrypoint.file.read_text(encoding="utf-8")
        for section, contents in sections.items():
            again = engine.load(text)
            text = _with_section(text, again, section, contents)
        new = engine.load(text).data
    except (UnicodeDecodeError, engine.InvalidGraph) as error:
        raise _not_by_us(entrypoint.file, "its tasks") from error
    if new != {**document.data, **sections}:
        raise _not_by_us(entrypoint.file, "its tasks")
    found.files[entrypoint.file] = text
    found.said.append(f"changed 'tasks' in {entrypoint.file.name}")


def _lines(text: str) -> list[str]:
    """The lines of a text, as TOML and our places count them."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _not_by_us(file: Path, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what} are in a form in which {file} is not written anew: change them by"
        " hand, or write each section as a block of its own, without anchors, in UTF-8"
    )


def _meaning(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Tasks without the freedom that their form leaves."""
    return {
        name: (
            task.get("plugin"),
            [_input(one) for one in task.get("inputs") or ()],
            task.get("outputs") or [],
        )
        for name, task in tasks.items()
        if isinstance(task, dict)
    }


def _input(declared: Any) -> Any:
    if isinstance(declared, dict) and len(declared) == 1:
        ((name, kind),) = declared.items()
        return name, kind, True
    if isinstance(declared, dict):
        required = declared.get("required", True)
        return declared.get("name"), declared.get("type"), required
    return declared


def _with_section(
    text: str, document: engine.Document, section: str, contents: Any
) -> str:
    """A YAML text with other contents of a section, which comes first if it is new."""
    lines = _lines(text)
    new = yaml.safe_dump(
        {section: contents}, sort_keys=False, allow_unicode=True, width=88
    ).splitlines()
    if section not in document.data:
        return "\n".join([*new, "", *lines, ""])
    starts = sorted(
        place[0] - 1
        for name in document.data
        if (place := document.place((name,))) is not None
    )
    start = (document.place((section,)) or (1, 1))[0] - 1
    end = min((one for one in starts if one > start), default=len(lines))
    while end > start + 1 and _is_empty(lines[end - 1]):
        end -= 1
    lines[start:end] = new
    return "\n".join([*lines, ""])
