"""How long a job waits for its imports, from which its worker learns."""

from __future__ import annotations

import os
from _thread import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dioptra_worker.protocol.messages import MAX_IMPORTS, ModuleImported
from dioptra_worker.runner.import_hook import put_around
from dioptra_worker.runner.plugins.packages import location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SHORTEST = 0.02
"""Seconds of an import that is worth telling."""

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
        put_around(self._timing)

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

        return find_and_load

    def _is_own(self, module: object) -> bool:
        return (location(module) or "").startswith(self._own)
