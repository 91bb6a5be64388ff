"""Look plugin functions up in their source code, without importing it.

Importing a plugin would run its code and need its packages; the syntax tree is enough
to see which functions there are, whether they are registered, and what they take.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.engine.wording import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_REGISTER = "dioptra.pyplugs.register"


@dataclass(frozen=True, slots=True)
class Function:
    """What the source code says about a plugin function.

    Attributes:
        name: Its name.
        registered: Whether it is decorated with ``pyplugs.register``.
        wrapped: Whether other decorators may change what it takes.
        positional: The parameters that can be given by position, in order.
        only_positional: Those that cannot be given by name.
        only_named: The parameters that can only be given by name.
        required: The parameters without a default.
        more_positions: Whether it takes ``*args``.
        more_names: Whether it takes ``**kwargs``.
        annotations: The annotations of its parameters, by name, as they are written.
        returns: What it is said to return, as that is written; empty if nothing is.
    """

    name: str
    registered: bool
    wrapped: bool
    positional: tuple[str, ...]
    only_positional: frozenset[str]
    only_named: tuple[str, ...]
    required: frozenset[str]
    more_positions: bool
    more_names: bool
    annotations: Mapping[str, str]
    returns: str


@dataclass(frozen=True, slots=True)
class Unfound:
    """Why a plugin function could not be found; a sentence."""

    reason: str


class Sources:
    """A folder of plugin packages; each file is read once.

    Args:
        folder: The folder that has the packages in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, dict[str, Function] | Unfound] = {}

    def functions(self, module: str) -> Mapping[str, Function] | Unfound:
        """The functions of a module, in order."""
        if module not in self._modules:
            self._modules[module] = self._read(module)
        return self._modules[module]

    def find(self, plugin: str) -> Function | Unfound:
        """Find the function that a task's dotted path means.

        Args:
            plugin: The path: package, file and function, such as ``sums.basic.add``.

        Returns:
            The function, or why it is not found.
        """
        module, _, name = plugin.rpartition(".")
        functions = self.functions(module)
        if isinstance(functions, Unfound):
            return functions
        if name in functions:
            return functions[name]
        hint = suggestion(name, functions, "It defines none.")
        return Unfound(f"module {module!r} defines no function {name!r}.{hint}")

    def _read(self, module: str) -> dict[str, Function] | Unfound:
        place = self._folder.joinpath(*module.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                try:
                    tree = ast.parse(file.read_bytes(), filename=str(file))
                except (SyntaxError, ValueError) as error:
                    return Unfound(f"{str(file)!r} is not valid Python: {error}.")
                except (MemoryError, RecursionError):
                    return Unfound(f"{str(file)!r} is too deep for Python to read.")
                return dict(_functions(tree))
        hint = suggestion(module, self._names())
        return Unfound(f"there is no module {module!r} in {str(self._folder)!r}.{hint}")

    def _names(self) -> list[str]:
        """Name every module in the folder."""
        files = sorted(self._folder.rglob("*.py"))
        paths = [file.relative_to(self._folder).with_suffix("") for file in files]
        dotted = (".".join(path.parts).removesuffix(".__init__") for path in paths)
        return list(dict.fromkeys(dotted))


def _functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    imported: dict[str, str] = {}
    for statement in _top_level(tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imported.update(_names_of(statement))
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.name, _function(statement, imported)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's statements, also those under a condition or in a try."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, part, []))


def _names_of(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    prefix = ""
    if isinstance(statement, ast.ImportFrom):
        prefix = f"{statement.module}."
    for alias in statement.names:
        if alias.asname or prefix:
            yield alias.asname or alias.name, prefix + alias.name


def _function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, imported: dict[str, str]
) -> Function:
    decorators = [_dotted(decorator, imported) for decorator in node.decorator_list]
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    required = positional[: len(positional) - len(given.defaults)]
    named = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return Function(
        name=node.name,
        registered=_REGISTER in decorators,
        wrapped=any(decorator != _REGISTER for decorator in decorators),
        positional=tuple(argument.arg for argument in positional),
        only_positional=frozenset(argument.arg for argument in given.posonlyargs),
        only_named=tuple(argument.arg for argument in given.kwonlyargs),
        required=frozenset(
            [argument.arg for argument in required]
            + [argument.arg for argument, default in named if default is None]
        ),
        more_positions=given.vararg is not None,
        more_names=given.kwarg is not None,
        annotations={
            argument.arg: ast.unparse(argument.annotation)
            for argument in (*positional, *given.kwonlyargs)
            if argument.annotation is not None
        },
        returns=ast.unparse(node.returns) if node.returns is not None else "",
    )


def _dotted(decorator: ast.expr, imported: dict[str, str]) -> str:
    """Write a decorator as the dotted path of what was imported; calls as called."""
    if isinstance(decorator, ast.Call):
        return _dotted(decorator.func, imported)
    if isinstance(decorator, ast.Attribute):
        return f"{_dotted(decorator.value, imported)}.{decorator.attr}"
    if isinstance(decorator, ast.Name):
        return imported.get(decorator.id, decorator.id)
    return ""
