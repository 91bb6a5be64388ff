"""Folders with resources: where they are, and what their ``dioptra.toml`` says."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.tools.resources.errors import BadResources, NoResources

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CONFIG = "dioptra.toml"


@dataclass(frozen=True)
class ResourceFolder:
    """A folder that can be imported.

    Attributes:
        path: The folder.
        config: What its ``dioptra.toml`` says.
        name: How that file is called in truth.
    """

    path: Path
    config: dict[str, Any]
    name: str = CONFIG

    @property
    def file(self) -> Path:
        """The file that says what it has."""
        return self.path / self.name

    @property
    def graphs(self) -> list[str]:
        """The paths of its entrypoints' YAML files, as its configuration has them."""
        return [entry["path"] for entry in self.config.get("entrypoints", [])]

    @property
    def plugins(self) -> list[str]:
        """The paths of its plugins, as its configuration has them."""
        return [entry["path"] for entry in self.config.get("plugins", [])]


def find_folders(paths: Iterable[Path], *, name: str = CONFIG) -> list[ResourceFolder]:
    """Find what can be imported.

    Args:
        paths: Folders with a ``dioptra.toml``, or folders of such.
        name: How that file is called.

    Returns:
        The folders in order, those of one folder by name; none twice.

    Raises:
        NoResources: There is nothing to import in one of them.
        BadResources: A ``dioptra.toml`` cannot be used.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found |= dict.fromkeys(_folders(path, name))
    return [read_folder(path / name) for path in found]


def _folders(path: Path, name: str) -> list[Path]:
    if (path / name).is_file():
        return [path.resolve()]
    if not path.is_dir():
        raise NoResources(f"{str(path)!r} is no folder: give one with a {name} in it")
    inner = sorted(file.parent.resolve() for file in path.glob(f"*/{name}"))
    if not inner:
        raise NoResources(
            f"{str(path)!r} has no {name}, and neither has any folder in it: that"
            " file says which plugins and entrypoints to import"
        )
    return inner


def read_folder(file: Path) -> ResourceFolder:
    """Read the folder of a ``dioptra.toml``, or of a file that stands for one.

    Raises:
        BadResources: It cannot be used.
    """
    try:
        config = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadResources([f"{file} is not TOML: {error}"]) from error
    problems = [*_without_path(file, config)]
    if not problems:
        folder = ResourceFolder(file.parent, config, file.name)
        problems = _missing(folder)
    if problems:
        raise BadResources(problems)
    return folder


def _without_path(file: Path, config: dict[str, Any]) -> Iterable[str]:
    """Say which tables are not as the other functions here need them."""
    for kind in ("plugins", "entrypoints"):
        entries = config.get(kind, [])
        if not isinstance(entries, list):
            yield f"{file}: write [[{kind}]] with two brackets, one for each of them"
            continue
        for number, entry in enumerate(entries, start=1):
            if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
                yield f"{file}: number {number} of [[{kind}]] needs a 'path'"


def _missing(folder: ResourceFolder) -> list[str]:
    """Say which files and folders are named and not there."""
    file = folder.file
    return [
        f"{file} names the task graph {path!r}, but there is no such file"
        for path in folder.graphs
        if not (folder.path / path).is_file()
    ] + [
        f"{file} names the plugin {path!r}, but there is no such folder"
        for path in folder.plugins
        if not (folder.path / path).is_dir()
    ]
