"""The reference of Python names: all public ones are in it, each with what it says."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from dioptra_worker.sdk import compat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PAGES = Path(__file__).resolve().parents[2] / "docs/reference/api"
DIRECTIVE = re.compile(
    r"^\.\. auto(module|class):: ([\w.]+)\n((?:   :.*\n)*)", re.MULTILINE
)
COMPAT = sorted(
    ".".join(path.relative_to(compat.path()).with_suffix("").parts)
    for path in compat.path().glob("dioptra/**/*.py")
    if "__all__" in path.read_text(encoding="utf-8")
)
PUBLIC = [
    *(name.removesuffix(".__init__") for name in COMPAT),
    "dioptra_worker.batch",
    "dioptra_worker.engine",
    "dioptra_worker.pytest_plugin",
    "dioptra_worker.sdk.metrics",
    "dioptra_worker.tools.lineage",
    "dioptra_worker.tools.local",
]
"""The modules that plugins, tests and scripts import."""


class Described(NamedTuple):
    """A name that a page has, where it is made, and what it stands for."""

    name: str
    thing: Any


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(compat.path()))


def _described() -> Iterator[Described]:
    """What the pages have autodoc describe."""
    for page in PAGES.glob("*.md"):
        for kind, name, lines in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            options = dict(re.findall(r"^   :([\w-]+): *(.*)$", lines, re.MULTILINE))
            if kind == "class":
                module, _, attribute = name.rpartition(".")
                yield Described(
                    name, getattr(importlib.import_module(module), attribute)
                )
                continue
            assert "members" in options, f"{page.name}: {name} without its members"
            module = importlib.import_module(name)
            wanted = options["members"].split(", ") if options["members"] else None
            left_out = options.get("exclude-members", "").split(", ")
            for member in wanted or _public(module):
                if member not in left_out:
                    yield Described(f"{name}.{member}", getattr(module, member))


def _public(module: ModuleType) -> list[str]:
    """The names of a module that are for others."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and getattr(thing, "__module__", "") == module.__name__
    ]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    """What a public module exports is described on a page, by this name or another."""
    module = importlib.import_module(name)
    there = [each.thing for each in _described()]
    missing = [
        member
        for member in module.__all__
        if not any(getattr(module, member) is thing for thing in there)
    ]
    assert missing == []


def test_every_name_says_what_it_takes_and_raises() -> None:
    """A described function has its arguments and what it raises in its docstring."""
    lacking = [
        f"{name}: {problem}"
        for each in _described()
        for name, function in _functions(each)
        for problem in _problems(function)
    ]
    assert lacking == []


def _functions(each: Described) -> Iterator[tuple[str, Any]]:
    """A described thing, or a class with its public methods."""
    yield each
    if not inspect.isclass(each.thing):
        return
    for name, member in vars(each.thing).items():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if not name.startswith("_") and inspect.isfunction(function):
            yield f"{each.name}.{name}", function


def _problems(thing: Any) -> Iterator[str]:
    """What the docstring of a function, or of anything else, does not say."""
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return
    doc = inspect.getdoc(thing) or ""
    if not doc:
        yield "no docstring"
    if not inspect.isfunction(thing) or doc.startswith("Send ``"):
        return  # a call of the REST API has the API's own parameters
    parameters = [
        str(parameter).partition(":")[0].partition("=")[0].strip()
        for name, parameter in inspect.signature(thing).parameters.items()
        if name not in {"self", "cls"}
    ]
    for parameter in parameters:
        if not re.search(rf"[`* ]{re.escape(parameter.strip('*'))}\b", doc):
            yield f"{parameter} is not described"
    for error in _raised(thing):
        if error not in doc:
            yield f"raises {error}, unsaid"


def _raised(function: Any) -> set[str]:
    """The errors that a function raises itself, by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }
    return raised - {"NotImplementedError"}
