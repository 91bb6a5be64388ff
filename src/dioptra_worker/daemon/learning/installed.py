"""Which modules are those of packages that are installed where the worker is.

Nothing is imported: files are looked at. What lies in a job's folder, in a plugin's
bundle or in a folder of ``DIOPTRA_WORKER_IMPORT_PATH`` is no installed package's.
"""

from __future__ import annotations

import functools
import importlib.metadata
from importlib.machinery import PathFinder, all_suffixes
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.provenance.surroundings import digest, packages

if TYPE_CHECKING:
    from collections.abc import Iterator


def environment() -> str:
    """What tells the installed packages, with their versions, from any others."""
    return digest(packages())


def is_installed(module: str) -> bool:
    """Whether a module is one of an installed package.

    Args:
        module: Its full name; who gave it may have made it up.
    """
    top, *rest = module.split(".")
    if top not in _top_levels():
        return False
    spec = PathFinder.find_spec(top)
    if spec is None:  # found by means of its own, as some that are not copied are
        return False
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    for part in rest:
        if not any(_has(folder, part) for folder in folders):
            return False
        folders = [folder / part for folder in folders]
    return True


def _has(folder: Path, name: str) -> bool:
    files = (folder / f"{name}{suffix}" for suffix in all_suffixes())
    return (folder / name).is_dir() or any(file.is_file() for file in files)


@functools.cache
def _top_levels() -> frozenset[str]:
    """The names, without a dot, of modules of installed packages.

    As `importlib.metadata.packages_distributions` finds them, which would make an
    object of each file's name: of a large library there are ten thousand.
    """
    distributions = importlib.metadata.distributions()
    return frozenset(name for each in distributions for name in _names(each))


def _names(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    if declared := distribution.read_text("top_level.txt"):
        yield from declared.split()
        return
    for line in (distribution.read_text("RECORD") or "").splitlines():
        first, slash, _ = line.partition("/")
        if not slash:  # a file: its name, its checksum, its size
            first, _, suffix = first.partition(",")[0].partition(".")
            first = first if f".{suffix}" in all_suffixes() else ""
        if first.isidentifier() and first != "__pycache__":
            yield first
