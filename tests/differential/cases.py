"""The peer's own test cases, taken from its test files when they are needed.

Its tests are run with stand-ins for the functions under test that note the document
they are given and end the test. Nothing of theirs is stored here.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FILES = ("test_validation.py", "test_type_validation.py")


class _Noted(BaseException):
    """Ends a test as soon as it has shown its document."""

    def __init__(self, document: Any) -> None:
        self.document = document


def _note(document: Any, *_args: Any) -> None:
    raise _Noted(document)


def documents(sdist: Path) -> Iterator[tuple[str, Any]]:
    """Yield the documents that the peer's validation tests are about, with a name."""
    for name in _FILES:
        tree = ast.parse((sdist / "tests/unit/task_engine" / name).read_text())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for index, document in enumerate(_of_test(node)):
                    yield f"{name}::{node.name}[{index}]", document


def _of_test(node: ast.FunctionDef) -> Iterator[Any]:
    names: dict[str, Any] = {"pytest": pytest, "is_valid": _note, "validate": _note}
    module = ast.Module([node], [])
    try:
        exec(compile(module, node.name, "exec"), names)  # noqa: S102 - the peer's tests
    except NameError:
        return  # its cases are types and values of the peer, not documents
    test = names[node.name]
    for arguments in _arguments(test):
        try:
            test(**arguments)
        except _Noted as noted:
            yield noted.document
        except NameError:
            return


def _arguments(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    marks = getattr(test, "pytestmark", [])
    if not marks:
        yield {}
        return
    names, rows = marks[0].args
    keys = [name.strip() for name in names.split(",")]
    for row in rows:
        values = row if len(keys) > 1 else (row,)
        yield dict(zip(keys, values, strict=True))
