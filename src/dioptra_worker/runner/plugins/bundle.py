"""Bundles: directories of plugin packages that are loaded side by side.

A job has up to three kinds of bundles (tasks, artifact tasks for its outputs, and one
per plugin snapshot of its inputs), and the same package name may stand in each of them
for different code. Python knows one module per name; so a bundle's modules are in
``sys.modules`` only while the bundle is active, and are kept in between. Modules from
elsewhere are never touched: some cannot be imported twice.

Bundles that are told of each other share the modules of a package that has the same
bytes in both. Then an object that a task returns is an instance of the class that the
artifact task tests for, and can be pickled by its name.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from importlib.machinery import FileFinder
from typing import TYPE_CHECKING, Any, ClassVar

from dioptra_worker.runner.plugins import errors
from dioptra_worker.runner.plugins.errors import PluginError, PluginNotFound
from dioptra_worker.runner.plugins.packages import (
    forget_mark,
    mark_modules,
    packages,
    remove_modules,
)
from dioptra_worker.sdk import pyplugs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

    from dioptra_worker.runner.plugins.packages import Package

__all__ = ["Bundle", "PluginError"]


class Bundle:
    """A directory of plugin packages, put in front on ``sys.path`` while active.

    Args:
        directory: The directory; it must be complete before the first use.
        label: What it is called in messages: ``"the entrypoint's plugins"``.
        beside: Bundles of the same job; packages with the same bytes are shared.

    Attributes:
        path: Its entries for ``sys.path``, with those that its code has added.
    """

    _stack: ClassVar[list[Bundle]] = []

    def __init__(
        self, directory: Path, *, label: str, beside: Iterable[Bundle] = ()
    ) -> None:
        self.directory = directory.resolve()
        self.label = label
        self.path = [str(self.directory)]
        self._beside = list(beside)
        self._packages: dict[str, Package] | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let the bundle's modules be importable, in front of everything else.

        Bundles may be nested, also the same one: the innermost wins where package
        names are equal, the others stay importable otherwise.
        """
        outer = list(self._stack)
        self._switch([*outer, self])
        try:
            yield
        finally:
            self._switch(outer)

    def function(self, plugin: str) -> Callable[..., Any]:
        """Return a registered function.

        Args:
            plugin: Its dotted name, such as ``hello_world.tasks.hello``.

        Raises:
            PluginError: It cannot be loaded; a subclass and the message say why.
        """
        module_name, _, name = plugin.rpartition(".")
        if not module_name or not name:
            raise PluginError(
                f"{plugin!r} names no plugin function: write package, file and "
                "function with dots between them, such as 'hello_world.tasks.hello'"
            )
        module = self._import(module_name)
        registered = pyplugs.registered(module)
        if name in registered:
            return registered[name].func
        raise errors.no_function(module, name, self._file(module))

    def artifact_task(self, package: str, module: str, name: str) -> type:
        """Return an artifact task.

        Args:
            package: The plugin, such as ``artifacts``.
            module: Its file without ``.py``, such as ``tasks``.
            name: The class, such as ``StringArtifactTask``.

        Raises:
            PluginError: It cannot be loaded; a subclass and the message say why.
        """
        loaded = self._import(f"{package}.{module}".strip("."))
        found = getattr(loaded, name, None)
        methods = ("serialize", "deserialize")
        if isinstance(found, type) and all(
            hasattr(found, method) for method in methods
        ):
            return found
        raise errors.no_artifact_task(loaded, name, self._file(loaded))

    def _import(self, module: str) -> ModuleType:
        with self.active():
            self._refuse_hidden(module)
            shared = {
                place.parent for own in self.owned.values() for place in own.places
            }
            try:
                return importlib.import_module(module)
            except Exception as error:
                raise errors.explain(
                    error,
                    module,
                    bundle=self.directory,
                    label=self.label,
                    shared=shared,
                ) from error

    def _refuse_hidden(self, module: str) -> None:
        """Refuse a plugin whose name a module from elsewhere has."""
        top = module.partition(".")[0]
        hiding_module = self.owned[top].hiding_module() if top in self.owned else None
        if hiding_module is not None:
            raise PluginNotFound(
                f"the plugin {top!r} has the name of a module that Python finds first "
                f"({hiding_module}): rename the plugin"
            )

    def _file(self, module: ModuleType) -> str:
        top = module.__name__.partition(".")[0]
        package = self.owned.get(top)
        return package.relative(module) if package else module.__name__

    @property
    def owned(self) -> dict[str, Package]:
        """The packages of this bundle by name; found at the first use."""
        if self._packages is None:
            self._packages = packages(
                self.directory, [bundle.owned for bundle in self._beside]
            )
            self._forget_looks()
        return self._packages

    def _forget_looks(self) -> None:
        """Have Python look into the bundle anew: its files may be younger.

        Not into all that is on ``sys.path``, as by `importlib.invalidate_caches`: each
        folder would be listed again.
        """
        root = str(self.directory)
        if root not in sys.path_importer_cache:  # nor is anything below it
            return
        for place, finder in list(sys.path_importer_cache.items()):
            if place != root and not place.startswith(f"{root}{os.sep}"):
                continue
            if isinstance(finder, FileFinder):
                finder.invalidate_caches()
            else:  # None, say, as it was not there
                del sys.path_importer_cache[place]

    @classmethod
    def _switch(cls, stack: list[Bundle]) -> None:
        """Make another stack of bundles the active one, the last on top."""
        before, after = (list(dict.fromkeys(reversed(s))) for s in (cls._stack, stack))
        if before != after:
            if before:
                remove_modules(
                    own for bundle in before for own in bundle.owned.values()
                )
            for bundle in before:
                bundle.remove_from_path()
            visible: dict[str, Package] = {}
            for bundle in reversed(after):
                sys.path[:0] = bundle.path
                visible |= bundle.owned
            if after:
                mark_modules(visible.values())
            else:
                forget_mark()
            for package in visible.values():
                package.add_modules()
        cls._stack[:] = stack

    def remove_from_path(self) -> None:
        """Take this bundle's entries from ``sys.path``, also those it added itself."""
        root = str(self.directory)
        mine = [
            entry
            for entry in sys.path
            if entry == root or entry.startswith(f"{root}{os.sep}")
        ]
        self.path = list(dict.fromkeys(mine))
        sys.path[:] = [entry for entry in sys.path if entry not in mine]
