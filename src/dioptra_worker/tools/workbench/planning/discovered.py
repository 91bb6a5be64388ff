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


def names(file: Path) -> set[str] | None:
    """The names that a file's top level binds, as far as they can be told.

    Returns:
        The names; None where it takes more than a look, or the file is no Python.
    """
    tree = _parsed(file)
    found: set[str] = set()
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(one.asname or one.name).partition(".")[0] for one in node.names}
        elif isinstance(node, ast.Assign):
            targets = [name for one in node.targets for name in ast.walk(one)]
            found |= {one.id for one in targets if isinstance(one, ast.Name)}
        elif not isinstance(node, ast.Expr | ast.AnnAssign | ast.AugAssign):
            return None  # under a condition, say
    return None if tree is None or "*" in found else found


def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None  # importing it says what is wrong with it


def _has_code(folder: Path) -> bool:
    return any(folder.rglob("*.py"))


def _modules(plugin: Path) -> Iterator[tuple[str, Path]]:
    if plugin.is_file():
        yield plugin.stem, plugin
        return
    for file in sorted(plugin.rglob("*.py")):
        yield ".".join(file.relative_to(plugin).with_suffix("").parts), file


def _classes(file: Path) -> Iterator[str]:
    tree = _parsed(file)
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef):
            methods = {
                item.name for item in node.body if isinstance(item, ast.FunctionDef)
            }
            if methods >= _METHODS:
                yield node.name
