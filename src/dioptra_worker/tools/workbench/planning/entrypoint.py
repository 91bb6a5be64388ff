"""Which entrypoint a path means, and what it is made of."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker import engine
from dioptra_worker.engine.wording import listing, suggestion
from dioptra_worker.tools.resources.errors import BadResources
from dioptra_worker.tools.resources.folders import CONFIG, read_folder
from dioptra_worker.tools.workbench.errors import (
    InvalidEntrypoint,
    InvalidRequest,
    NoPlugins,
)
from dioptra_worker.tools.workbench.planning import declared, discovered, values
from dioptra_worker.tools.workbench.planning.declared import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.protocol.messages import ArtifactTask
    from dioptra_worker.tools.resources.folders import ResourceFolder

PLUGINS = "plugins"
SUFFIXES = (".yml", ".yaml")


@dataclass(frozen=True, kw_only=True)
class Entrypoint:
    """An entrypoint on disk.

    Attributes:
        name: Its name.
        file: The file with its task graph.
        document: That file, or the whole task graph that was made with it.
        config: The whole task graph, as the platform would give it to a worker.
        kinds: How the text of a parameter is read, by its name; see `values`.
        plugins: The plugins of its tasks, each a folder or a file.
        artifact_plugins: The plugins that write and read its artifacts.
        sources: The folder that its tasks are looked up in; None where there are many.
        writers: The artifact tasks that the task graph may name.
        readers: The artifact tasks that may read an input.
        declared_in: The ``dioptra.toml`` that declares it, if there is one.
    """

    name: str
    file: Path
    document: engine.Document | Mapping[str, Any]
    config: Mapping[str, Any]
    kinds: Mapping[str, str]
    plugins: tuple[Path, ...]
    artifact_plugins: tuple[Path, ...]
    sources: Path | None
    writers: tuple[ArtifactTask, ...]
    readers: tuple[Reader, ...]
    declared_in: Path | None = None

    def watched(self) -> tuple[Path, ...]:
        """The files and folders whose change makes another entrypoint of it."""
        mine = dict.fromkeys((self.file, *self.plugins, *self.artifact_plugins))
        return tuple(mine) if self.declared_in is None else (*mine, self.declared_in)


def find(
    path: Path, *, plugins: Path | None = None, config: Path | None = None
) -> Entrypoint:
    """Read the entrypoint that a path means.

    Args:
        path: A folder with a ``dioptra.toml``, or a YAML file. A file that a
            ``dioptra.toml`` beside or above it names is read with what that one says.
        plugins: The folder of plugin packages, for a file that no ``dioptra.toml``
            names; ``plugins`` beside the file when None.
        config: A file that stands for the ``dioptra.toml``.

    Raises:
        InvalidRequest: There is no such entrypoint, or more than one.
        InvalidEntrypoint: Its file cannot be read.
    """
    if not path.exists():
        raise InvalidRequest(_no_such(path))
    path = path.resolve()
    if plugins is not None and config is not None:
        raise InvalidRequest(
            f"{config} says where the plugins are; --plugins is for a file of its own"
        )
    if path.is_dir() and config is None and not (path / CONFIG).is_file():
        path = only_graph(path)
    if path.is_file():
        return _of_file(path, plugins, config)
    if plugins is not None:
        raise InvalidRequest(
            f"{path / CONFIG} says where the plugins are; --plugins is for a file of"
            " its own"
        )
    resources = _resources(config or path / CONFIG)
    entries = _entries(resources)
    if len(entries) != 1:
        raise InvalidRequest(_which(resources, entries))
    return _declared(resources, entries[0])


def _of_file(file: Path, plugins: Path | None, config: Path | None) -> Entrypoint:
    """The entrypoint that has a file, declared or on its own."""
    resources = None
    if plugins is None:
        resources = _declaring(file) if config is None else _resources(config)
    entries = [] if resources is None else _entries(resources)
    for entry in entries:
        assert resources is not None
        if (resources.path / entry["path"]).resolve() == file:
            return _declared(resources, entry)
    if config is None:
        return _bare(file, plugins or file.parent / PLUGINS)
    files = listing([entry["path"] for entry in entries], "and") or "none"
    raise InvalidRequest(
        f"{config} has no entrypoint of the file {str(file)!r}; it has {files}"
    )


def _declaring(file: Path) -> ResourceFolder | None:
    """The folder whose ``dioptra.toml`` is beside a file, or above it and names it."""
    beside, *above = (folder / CONFIG for folder in file.parents)
    if beside.is_file():
        return _resources(beside)
    for config in above:
        if _names(config, file):
            return _resources(config)
    return None


def _names(config: Path, file: Path) -> bool:
    """Whether somebody's ``dioptra.toml`` has an entrypoint of that file."""
    try:
        found = tomllib.loads(config.read_text(encoding="utf-8"))
        paths = [entry["path"] for entry in found["entrypoints"]]
        return any((config.parent / path).resolve() == file for path in paths)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _no_such(path: Path) -> str:
    parent = path.parent
    names = []
    if parent.is_dir():
        names = [
            entry.name
            for entry in sorted(parent.iterdir())
            if entry.is_dir() or entry.suffix in SUFFIXES
        ]
    return f"{str(path)!r} does not exist.{suggestion(path.name, names)}"


def only_graph(folder: Path) -> Path:
    """The one YAML file in a folder.

    Raises:
        InvalidRequest: There is none, or more than one.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
    if len(files) == 1:
        return files[0]
    if not files:
        raise InvalidRequest(
            f"{str(folder)!r} has neither a {CONFIG} nor a YAML file with a task graph"
        )
    raise InvalidRequest(
        f"{str(folder)!r} has several YAML files: name one of them,"
        f" {listing([file.name for file in files], 'or')}"
    )


def _which(folder: ResourceFolder, entries: list[dict[str, Any]]) -> str:
    if not entries:
        return f"{folder.file} has no [[entrypoints]], so there is nothing to run"
    files = listing([entry["path"] for entry in entries], "or")
    return (
        f"{str(folder.path)!r} has several entrypoints: name the file of one, {files}"
    )


def _resources(config: Path) -> ResourceFolder:
    try:
        return read_folder(config.resolve())
    except BadResources as error:
        raise InvalidRequest(*error.problems) from error
    except OSError as error:
        raise InvalidRequest(f"{config} cannot be read: {error.strerror}") from error


def _entries(folder: ResourceFolder) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = folder.config.get("entrypoints", [])
    return entries


def _load(file: Path) -> engine.Document:
    try:
        document = engine.load(file)
    except engine.InvalidGraph as error:
        raise InvalidEntrypoint(file, error.issues) from error
    except OSError as error:
        raise InvalidRequest(
            f"{str(file)!r} cannot be read: {error.strerror}"
        ) from error
    if not isinstance(document.data, dict):
        raise InvalidRequest(
            f"{str(file)!r} is no task graph: it needs the sections 'tasks' and 'graph'"
        )
    return document


def _declared(folder: ResourceFolder, entry: dict[str, Any]) -> Entrypoint:
    """An entrypoint as the ``dioptra.toml`` beside it declares it."""
    file = folder.path / entry["path"]
    document = _load(file)
    config = declared.config(folder, entry, document.data)
    own = {name: plugin for plugin in folder.plugins for name in [Path(plugin).name]}

    def paths(kind: str) -> tuple[Path, ...]:
        names = entry.get(kind, [])
        unknown = [name for name in names if name not in own]
        if unknown:
            raise InvalidRequest(
                f"{folder.file}: entrypoint {entry.get('name')!r} names the"
                f" plugin {unknown[0]!r}, and no [[plugins]] has it."
                + suggestion(unknown[0], own)
            )
        return tuple(folder.path / own[name] for name in names)

    readers = declared.readers(folder)
    plugins = paths("plugins")
    parents = {plugin.parent for plugin in plugins}
    return Entrypoint(
        name=str(entry.get("name", file.stem)),
        file=file,
        # A file that says everything keeps its lines for the messages.
        document=document if "tasks" in document.data else config,
        config=config,
        kinds=declared.kinds(entry),
        plugins=plugins,
        artifact_plugins=tuple(
            dict.fromkeys(
                (
                    *paths("artifact_plugins"),
                    *(folder.path / own[reader.task.package] for reader in readers),
                )
            )
        ),
        sources=parents.pop() if len(parents) == 1 else None,
        writers=declared.writers(folder, entry),
        readers=readers,
        declared_in=folder.file,
    )


def _way_out(file: Path) -> str:
    for folder in file.parents:
        for config in sorted(folder.glob("*.toml")):
            if _names(config, file):
                return f"give the file that does, --config {config}"
    return "write the whole task graph, or add one"


def _bare(file: Path, plugins: Path) -> Entrypoint:
    """An entrypoint that is only a file, with a folder of plugins."""
    document = _load(file)
    if "tasks" not in document.data:
        raise InvalidRequest(
            f"{str(file)!r} has no section 'tasks', and no {CONFIG} beside it, or above"
            f" it, declares them: {_way_out(file)}"
        )
    if not plugins.is_dir():
        raise NoPlugins(
            f"there is no folder {str(plugins)!r} with the plugins: give one with"
            " --plugins"
        )
    packages = discovered.packages(plugins)
    tasks = discovered.artifact_tasks(packages)
    return Entrypoint(
        name=file.stem if file.stem != "entrypoint" else file.parent.name,
        file=file,
        document=document,
        config=document.data,
        kinds=values.kinds(document.data),
        plugins=packages,
        artifact_plugins=packages,
        sources=plugins,
        writers=tasks,
        readers=tuple(Reader(task=task, types=None) for task in tasks),
    )
