"""What the platform keeps of a plugin's folder: Python files of certain names.

A job gets no other file of it, so a plugin that reads one works where its folder lies
and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_BYTECODE = ("__pycache__", ".pyc", ".pyo")


@dataclass(frozen=True, kw_only=True)
class PluginFiles:
    """The files of a plugin, by their paths in its folder, in order.

    Attributes:
        code: The Python files.
        refused: Those of them whose names the platform does not take.
        left_out: Other files, and folders without Python files, which end with a slash.
    """

    code: tuple[str, ...]
    refused: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def plugin_files(plugin: Path) -> PluginFiles:
    """Look what a plugin is made of.

    What Python has compiled, and hidden files and folders, are none of its files.

    Args:
        plugin: A folder, or a Python file that is a plugin by itself.

    Raises:
        OSError: The folder cannot be read.
    """
    if not plugin.is_dir():
        return PluginFiles(code=(plugin.name,))
    code = sorted(
        file.relative_to(plugin).as_posix()
        for file in plugin.rglob("*.py")
        if not _hidden(file.relative_to(plugin).parts) and file.is_file()
    )
    return PluginFiles(
        code=tuple(code),
        refused=tuple(name for name in code if not _is_taken(name)),
        left_out=tuple(_others(plugin, code)),
    )


def left_out_of(plugins: Sequence[Path]) -> list[str]:
    """What the platform would not keep, with the plugins' names before it."""
    return [
        f"{plugin.name}/{name}"
        for plugin in dict.fromkeys(plugins)
        for name in plugin_files(plugin).left_out
    ]


def refused_of(plugins: Sequence[Path]) -> list[str]:
    """Python files whose names the platform does not take, as `left_out_of`."""
    return [
        f"{plugin.name}/{name}"
        for plugin in dict.fromkeys(plugins)
        for name in plugin_files(plugin).refused
    ]


def _is_taken(name: str) -> bool:
    """Whether the platform takes a Python file of this path.

    Folders and files have names of ASCII letters, digits and underscores that begin
    with a letter; only a file that lies in no folder may begin with an underscore. So
    a package within a plugin has no ``__init__.py``, and needs none.
    """
    *folders, file = name.split("/")
    stem = file.removesuffix(".py")
    if not folders and stem.startswith("_"):
        stem = f"a{stem}"
    return all(_NAME.fullmatch(part) for part in (*folders, stem))


def _others(plugin: Path, code: Sequence[str]) -> list[str]:
    """Whatever is not code; a folder without code is one thing."""
    with_code = {
        "/".join(parts[:depth])
        for name in code
        for parts in [name.split("/")]
        for depth in range(1, len(parts))
    }
    found: list[str] = []

    def look(folder: Path, prefix: str) -> None:
        for entry in sorted(folder.iterdir()):
            name = f"{prefix}{entry.name}"
            if _hidden((entry.name,)) or name in code:
                continue
            if name in with_code:
                look(entry, f"{name}/")
            elif entry.is_dir():
                found.append(f"{name}/")
            else:
                found.append(name)

    look(plugin, "")
    return found


def _hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") or part.endswith(_BYTECODE) for part in parts)
