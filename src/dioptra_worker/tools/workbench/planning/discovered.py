"""What a folder of plugins has, read off its source code without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from dioptra_worker.protocol.messages import ArtifactTask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_METHODS = {"serialize", "deserialize"}


def packages(folder: Path) -> tuple[Path, ...]:
    """The plugin packages in a folder, and the plugin files."""
    return tuple(
        entry
        for entry in sorted(folder.iterdir())
        if (entry.is_dir() and entry.name.isidentifier() and _has_code(entry))
        or entry.suffix == ".py"
    )


def artifact_tasks(plugins: tuple[Path, ...]) -> tuple[ArtifactTask, ...]:
    """The artifact tasks that plugins define, by the methods that they have."""
    return tuple(
        ArtifactTask(
            name=name,
            package=plugin.stem if plugin.is_dir() else "",
            module=module,
            plugin_snapshot_id=0,
            task_id=0,
        )
        for plugin in plugins
        for module, file in _modules(plugin)
        for name in _classes(file)
    )


def _has_code(folder: Path) -> bool:
    return any(folder.rglob("*.py"))


def _modules(plugin: Path) -> Iterator[tuple[str, Path]]:
    if plugin.is_file():
        yield plugin.stem, plugin
        return
    for file in sorted(plugin.rglob("*.py")):
        yield ".".join(file.relative_to(plugin).with_suffix("").parts), file


def _classes(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # importing it says what is wrong with it
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = {
                item.name for item in node.body if isinstance(item, ast.FunctionDef)
            }
            if methods >= _METHODS:
                yield node.name
