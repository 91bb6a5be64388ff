"""What one import brought, as far as it belongs together: see `Group`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from dioptra_worker.runner.learned import loggers
from dioptra_worker.runner.learned.process_state import StateChange

if TYPE_CHECKING:
    import logging
    from types import ModuleType

    from dioptra_worker.runner.learned.folders import Remembered


class Warned(NamedTuple):
    """A warning of an import; whether a job sees it, its own filters say."""

    text: str
    category: type[Warning]
    file: str
    line: int


@dataclass(eq=False)
class Group:
    """Modules that a job gets as a whole: those of one package that came together.

    Attributes:
        name: The module that was asked for.
        seconds: How long its import took, if it was asked for by itself.
        modules: Its modules, by their full names.
        children: Those whose packages are no part of it: package, name and module.
        loggers: What its import added to the loggers that there are.
        needs: All other groups that go with it, those that others need first.
        change: What its import changed of the process, without what theirs did.
        reads: Variables that it was seen to read.
        records: What it logged.
        warned: What it warned of.
        out: What it wrote to standard output.
        err: What it wrote to standard error.
        remembered: What it remembers of the folders that it was made in.
        given: Whether the modules are where a job finds them.
    """

    name: str
    seconds: float = 0.0
    modules: dict[str, ModuleType] = field(default_factory=dict)
    children: list[tuple[ModuleType, str, ModuleType]] = field(default_factory=list)
    loggers: dict[str, logging.Logger] = field(default_factory=dict)
    needs: list[Group] = field(default_factory=list)
    change: StateChange = field(default_factory=StateChange)
    reads: set[str] = field(default_factory=set)
    records: list[logging.LogRecord] = field(default_factory=list)
    warned: list[Warned] = field(default_factory=list)
    out: str = ""
    err: str = ""
    remembered: Remembered | None = None
    given: bool = True

    def find_children(self) -> None:
        """Find the modules whose packages are no part of it, and have them."""
        self.children = []
        for name, module in self.modules.items():
            above, _, child = name.rpartition(".")
            parent = sys.modules.get(above)
            if above in self.modules or parent is None:
                continue
            if attributes(parent).get(child) is module:
                self.children.append((parent, child, module))

    def put_back(self) -> None:
        """Have it where whoever imports it finds it."""
        self.given = True
        sys.modules.update(self.modules)
        for parent, child, module in self.children:
            setattr(parent, child, module)
        loggers.put_back(self.loggers)

    def take(self) -> None:
        """Have it where nobody finds it."""
        self.given = False
        for name in self.modules:
            sys.modules.pop(name, None)
        for parent, child, _ in self.children:
            attributes(parent).pop(child, None)
        loggers.take(self.loggers)


def attributes(module: object) -> dict[str, Any]:
    """A module's attributes, whatever it is: some load when they are looked at."""
    try:
        found = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}
