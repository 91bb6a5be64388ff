"""Random generators of libraries that a job imports itself, seeded as those before it.

Only of a job that is run again: the worker that it was run by may have had a library
imported beforehand that this one has not, and so have seeded it.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

from dioptra_worker.runner.forkserver.children.randomness import RULES, reseed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class SeededImports(MetaPathFinder):
    """Finds nothing itself: has what others find seeded once it is imported.

    Args:
        seed: What to seed it with.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find a module as the other finders do."""
        if fullname not in RULES:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                loader = spec.loader
                if loader is not None and not isinstance(loader, type):
                    loader.exec_module = partial(self._execute, loader.exec_module)  # type: ignore[method-assign]
                return spec
        return None

    def _execute(
        self, original: Callable[[ModuleType], object], module: ModuleType
    ) -> None:
        original(module)
        reseed(self._seed, {module.__name__})
