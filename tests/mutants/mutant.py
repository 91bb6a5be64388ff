"""One deliberate break of the worker, described by where it is and what it changes.

A description outlives changes elsewhere in its module: it names a function and quotes
a part of it, which must be there exactly once.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "dioptra_worker"
WITH_SERVICES = ("tests/acceptance/", "tests/faults/", "tests/integration/")


class NotFoundOnce(Exception):
    """What a mutant changes is not where it says, or not there once."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A break, and what has to notice it.

    Attributes:
        name: Short, and its own.
        promise: How a promise of ARCHITECTURE.md begins which no longer holds.
        module: Where, below the package.
        function: Its qualified name there, or that of a constant.
        old: What is there, with its blanks.
        new: What stands there instead.
        killers: Tests each run of which must have a failure, as pytest names them.
    """

    name: str
    promise: str
    module: str
    function: str
    old: str
    new: str
    killers: tuple[str, ...]

    @property
    def needs_services(self) -> bool:
        """Whether its tests want the local stack."""
        return any(test.startswith(WITH_SERVICES) for test in self.killers)

    def path_in(self, root: Path) -> Path:
        """Its module's file in a tree of sources."""
        return root.joinpath("src", PACKAGE, *self.module.split(".")).with_suffix(".py")

    def applied_to(self, source: str) -> str:
        """The module's source with the break.

        Args:
            source: The module's source.

        Raises:
            NotFoundOnce: The function is not there, or has the old text not just once.
        """
        first, last = self._span(source)
        lines = source.splitlines(keepends=True)
        body = "".join(lines[first:last])
        count = body.count(self.old)
        if count != 1:
            raise NotFoundOnce(
                f"mutant {self.name!r}: {self._place} has {self.old!r} {count} times,"
                " and must have it once; if the code was written anew, break the same"
                " promise where it is kept now (tests/mutants/mutants.py)"
            )
        broken = body.replace(self.old, self.new)
        return "".join([*lines[:first], broken, *lines[last:]])

    @property
    def _place(self) -> str:
        return f"{PACKAGE}.{self.module}:{self.function}"

    def _span(self, source: str) -> tuple[int, int]:
        """The first line of the function and the one behind it, from 0."""
        node: ast.AST = ast.parse(source)
        for name in self.function.split("."):
            found = [
                child
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.stmt) and name in _defined_by(child)
            ]
            if not found:
                raise NotFoundOnce(
                    f"mutant {self.name!r}: there is no {self._place}; if it has moved,"
                    " say where it is now (tests/mutants/mutants.py)"
                )
            node = found[-1]  # of a property and its setter, the last
        assert isinstance(node, ast.stmt)
        assert node.end_lineno is not None
        return node.lineno - 1, node.end_lineno


def _defined_by(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()
