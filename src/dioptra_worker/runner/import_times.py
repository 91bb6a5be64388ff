"""How long a job waits for its imports, so that its worker can tell what to preload.

Python calls one function of its own for each module that is not there yet, and looks it
up each time. Another one in its place sees what a finder in `sys.meta_path` or another
`builtins.__import__` would, which plugins can see, compare and replace; for the second
each ``import`` of a loaded module would pay, too.
"""

from __future__ import annotations

import importlib
import os
from _thread import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dioptra_worker.protocol.messages import MAX_IMPORTS, ModuleImported
from dioptra_worker.runner.plugins.packages import location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SHORTEST = 0.02
"""Seconds of an import that is worth telling."""
_FUNCTION = "_find_and_load_unlocked"

_Times = list[tuple[str, float]]
"""Modules and the seconds that their import took, with all that it imported."""


class ImportTimes:
    """What a job imports that was not there before, outermost imports only."""

    def __init__(self) -> None:
        self._found: _Times = []
        self._own: tuple[str, ...] = ()

    def begin(self, folders: Iterable[Path]) -> None:
        """Look from now on.

        Args:
            folders: Where the job's own code lies: what that imports is told, and not
                how long the code itself took.
        """
        self._own = tuple(f"{folder.resolve()}{os.sep}" for folder in folders)
        bootstrap: Any = importlib._bootstrap  # noqa: SLF001
        original = getattr(bootstrap, _FUNCTION, None)
        if original is not None:  # another version of Python may have none
            setattr(bootstrap, _FUNCTION, self._timing(original))

    def slowest(self) -> list[ModuleImported]:
        """What took longest, longest first."""
        seconds: dict[str, float] = {}
        for name, taken in self._found:
            seconds[name] = seconds.get(name, 0.0) + taken
        found = sorted(seconds.items(), key=lambda item: item[1], reverse=True)
        return [
            ModuleImported(module=name, seconds=round(taken, 3))
            for name, taken in found[:MAX_IMPORTS]
            if taken >= SHORTEST
        ]

    def _timing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        under_way: dict[int, _Times] = {}
        found, is_own = self._found, self._is_own

        def find_and_load(name: str, import_: object) -> Any:
            thread = get_ident()
            outer = under_way.get(thread)
            inner = under_way[thread] = []
            started = perf_counter()
            try:
                module = original(name, import_)
            finally:
                if outer is None:
                    del under_way[thread]
                else:
                    under_way[thread] = outer
            taken = perf_counter() - started
            known = found if outer is None else outer
            if is_own(module):
                known += inner
            elif taken >= SHORTEST:
                known.append((name, taken))
            return module

        # Python leaves frames of this file out of tracebacks, warnings pass over them.
        find_and_load.__code__ = find_and_load.__code__.replace(
            co_filename=original.__code__.co_filename, co_name=_FUNCTION
        )
        return find_and_load

    def _is_own(self, module: object) -> bool:
        return (location(module) or "").startswith(self._own)
