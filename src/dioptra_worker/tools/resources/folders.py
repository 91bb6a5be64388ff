"""Folders with resources: where they are, and what their ``dioptra.toml`` says."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.issues import Issue, Severity
from dioptra_worker.tools.resources.config_file.checks import check
from dioptra_worker.tools.resources.config_file.places import Places
from dioptra_worker.tools.resources.errors import BadResources, NoResources
from dioptra_worker.tools.resources.findings import Finding, refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIG = "dioptra.toml"


@dataclass(frozen=True)
class ResourceFolder:
    """A folder that can be imported.

    Attributes:
        path: The folder.
        config: What its ``dioptra.toml`` says.
        name: How that file is called in truth.
        places: Where in that file everything is.
    """

    path: Path
    config: dict[str, Any]
    name: str = CONFIG
    places: Places = field(default_factory=lambda: Places(""), compare=False)

    @property
    def file(self) -> Path:
        """The file that says what it has."""
        return self.path / self.name

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What its configuration says of each entrypoint."""
        entries: list[dict[str, Any]] = self.config.get("entrypoints", [])
        return entries

    @property
    def graphs(self) -> list[str]:
        """The paths of its entrypoints' YAML files, as its configuration has them."""
        return [entry["path"] for entry in self.entries]

    @property
    def plugins(self) -> list[str]:
        """The paths of its plugins, as its configuration has them."""
        return [entry["path"] for entry in self.config.get("plugins", [])]

    @property
    def structures(self) -> dict[str, Any]:
        """What values of its types are made of, by name; None of one that is a name."""
        types = self.config.get("plugin_param_types", ())
        return {one["name"]: one.get("structure") for one in types}

    @staticmethod
    def plugin_name(entry: Mapping[str, Any]) -> str:
        """The name that a plugin has by its folder."""
        return Path(entry["path"]).name


def find_folders(
    paths: Iterable[Path], *, name: str = CONFIG, form_only: bool = False
) -> list[ResourceFolder]:
    """Find what can be imported.

    Args:
        paths: Folders with a ``dioptra.toml``, or folders of such.
        name: How that file is called.
        form_only: As for `read_folder`.

    Returns:
        The folders in order, those of one folder by name; none twice.

    Raises:
        NoResources: There is nothing to import in one of them.
        BadResources: A ``dioptra.toml`` cannot be used.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found |= dict.fromkeys(_folders(path, name))
    return [read_folder(path / name, form_only=form_only) for path in found]


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


def read_folder(file: Path, *, form_only: bool = False) -> ResourceFolder:
    """Read the folder of a ``dioptra.toml``, or of a file that stands for one.

    Args:
        file: The file.
        form_only: Whether it may say what is not so, as it is about to be mended.

    Raises:
        BadResources: It cannot be used.
        OSError: It cannot be read.
    """
    content = file.read_bytes()
    try:
        text = content.decode("utf-8")
        config = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadResources([Finding(file, _not_toml(error))]) from error
    places = Places(text.replace("\r\n", "\n"))
    issues = check(config, places, None if form_only else file.parent)
    findings = [Finding(file, one) for one in issues]
    if refusals(findings):
        raise BadResources(findings)
    return ResourceFolder(file.parent, config, file.name, places)


def _not_toml(error: Exception) -> Issue:
    match = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
    reason = str(error)[: match.start() if match else None]
    message = f"This is not valid TOML: {reason}."
    if match is None:
        return Issue(Severity.ERROR, message)
    return Issue(Severity.ERROR, message, (), int(match[1]), int(match[2]))
