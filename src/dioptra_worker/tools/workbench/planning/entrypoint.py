"""Which entrypoint a path means, and what it is made of."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker import engine
from dioptra_worker.engine.wording import listing, suggestion
from dioptra_worker.tools.resources.errors import BadResources
from dioptra_worker.tools.resources.findings import Finding
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
        document: What that file says.
        config: The whole task graph, as the platform would give it to a worker.
        kinds: How the text of a parameter is read, by its name; see `values`.
        plugins: The plugins of its tasks, each a folder or a file.
        artifact_plugins: The plugins that write and read its artifacts.
        sources: The folder that its tasks are looked up in; None where there are many.
        writers: The artifact tasks that the task graph may name.
        readers: The artifact tasks that may read an input.
        folder: The folder whose ``dioptra.toml`` declares it, if one does.
        entry: What that one says of it.
    """

    name: str
    file: Path
    document: engine.Document
    config: Mapping[str, Any]
    kinds: Mapping[str, str]
    plugins: tuple[Path, ...]
    artifact_plugins: tuple[Path, ...]
    sources: Path | None
    writers: tuple[ArtifactTask, ...]
    readers: tuple[Reader, ...]
    folder: ResourceFolder | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)

    def watched(self) -> tuple[Path, ...]:
        """The files and folders whose change makes another entrypoint of it."""
        mine = dict.fromkeys((self.file, *self.plugins, *self.artifact_plugins))
        return tuple(mine) if self.folder is None else (*mine, self.folder.file)


def find(
    path: Path, *, plugins: Path | None = None, config: Path | None = None
) -> Entrypoint:
    """Read the entrypoint that a path means.

    Args:
        path: A folder with a ``dioptra.toml``, that file, or a YAML file. One that a
            ``dioptra.toml`` beside or above it names is read with what that one says.
        plugins: The folder of plugin packages, for a file that no ``dioptra.toml``
            names; ``plugins`` beside the file when None.
        config: A file that stands for the ``dioptra.toml``.

    Raises:
        InvalidRequest: There is no such entrypoint, or more than one.
        InvalidEntrypoint: Its file, or its ``dioptra.toml``, is wrong.
    """
    if not path.exists():
        raise InvalidRequest(_no_such(path))
    path = path.resolve()
    if path.name == CONFIG and path.is_file():
        path = path.parent
    if path.suffix == ".toml" and path.is_file():
        raise InvalidRequest(
            f"{str(path)!r} is no task graph: where it stands for a {CONFIG}, give it"
            f" with --config, and a folder or a YAML file to run"
        )
    if path.suffix == ".py" and path.is_file():
        raise InvalidRequest(
            f"{str(path)!r} is Python, and no task graph: give the folder of an"
            " entrypoint, or its YAML file"
        )
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
    entries = resources.entries
    if len(entries) != 1:
        raise InvalidRequest(_which(resources, entries))
    return of_entry(resources, entries[0])


def _of_file(file: Path, plugins: Path | None, config: Path | None) -> Entrypoint:
    """The entrypoint that has a file, declared or on its own."""
    resources = None
    if plugins is None:
        resources = _declaring(file) if config is None else _resources(config)
    entries = [] if resources is None else resources.entries
    for entry in entries:
        assert resources is not None
        if (resources.path / entry["path"]).resolve() == file:
            return of_entry(resources, entry)
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
        below = sorted(file.parent.name for file in folder.glob(f"*/{CONFIG}"))
        hint = f": give one of those in it, {listing(below, 'or')}" if below else ""
        raise InvalidRequest(
            f"{str(folder)!r} has neither a {CONFIG} nor a YAML file with a task graph"
            f"{hint}"
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
        raise InvalidEntrypoint(error.findings) from error
    except OSError as error:
        raise InvalidRequest(f"{config} cannot be read: {error.strerror}") from error


def _load(file: Path) -> engine.Document:
    try:
        document = engine.load(file)
    except engine.InvalidGraph as error:
        raise InvalidEntrypoint([Finding(file, one) for one in error.issues]) from error
    except OSError as error:
        raise InvalidRequest(
            f"{str(file)!r} cannot be read: {error.strerror}"
        ) from error
    if not isinstance(document.data, dict):
        raise InvalidRequest(
            f"{str(file)!r} is no task graph: it needs the sections 'tasks' and 'graph'"
        )
    return document


def of_entry(folder: ResourceFolder, entry: Mapping[str, Any]) -> Entrypoint:
    """An entrypoint as the ``dioptra.toml`` of its folder declares it.

    Args:
        folder: The folder.
        entry: One of its entries.

    Raises:
        InvalidEntrypoint: The task graph's file cannot be read.
        InvalidRequest: The same, for want of rights.
    """
    file = folder.path / entry["path"]
    document = _load(file)
    config = declared.config(folder, entry, document.data)
    own = {Path(plugin).name: plugin for plugin in folder.plugins}

    def paths(kind: str) -> tuple[Path, ...]:
        return tuple(folder.path / own[name] for name in entry.get(kind, []))

    readers = declared.readers(folder)
    plugins = paths("plugins")
    parents = {plugin.parent for plugin in plugins}
    return Entrypoint(
        name=str(entry.get("name", file.stem)),
        file=file,
        document=document,
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
        folder=folder,
        entry=entry,
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
