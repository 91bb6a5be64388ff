"""Plugin functions in their source code, beside the tasks that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.engine.documents import document, errors, warnings

from dioptra_worker.engine import Sources

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
import a_package_that_is_nowhere
import dioptra.pyplugs
import structlog as log
from . import sibling
from dioptra import pyplugs
from dioptra import pyplugs as plugs
from dioptra.pyplugs import register as mark

raise SystemExit("never run")

@pyplugs.register
def plain(data, epochs=3, *, rate, log=None): ...

@plugs.register(sort_value=2)
async def late(): ...

@mark
def marked(first, /, second, *rest, **more): ...

@dioptra.pyplugs.register
def dotted(): ...

def bare(): ...

@log.register
def other(): ...

@table["x"]
def odd(): ...

@pyplugs.register
@log.timed("x")
def wrapped(first): ...

if True:
    try:
        @pyplugs.register
        def hidden(): ...
    finally:
        pass

class Not:
    @pyplugs.register
    def method(self): ...
"""


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A folder with one plugin package."""
    package = tmp_path / "pkg" / "deep"
    package.mkdir(parents=True)
    (tmp_path / "pkg" / "mod.py").write_text(SOURCE)
    (package / "__init__.py").write_text(
        "from dioptra import pyplugs\n@pyplugs.register\ndef inner(): ..."
    )
    (tmp_path / "pkg" / "wrong.py").write_text("def (:")
    return Sources(tmp_path)


def task(plugin: str, *inputs: Any) -> dict[str, Any]:
    """Build a document with one task."""
    declared = [i if isinstance(i, dict) else {i: "any"} for i in inputs]
    tasks = {"t": {"plugin": plugin, "inputs": declared}}
    step = {"t": [f"value {number}" for number in range(len(inputs))]}
    return document(tasks=tasks, graph={"one": step})


@pytest.mark.parametrize(
    ("plugin", "inputs"),
    [
        ("pkg.mod.plain", ["data", "epochs", "rate"]),
        (
            "pkg.mod.plain",
            ["data", {"name": "epochs", "type": "any", "required": False}, "rate"],
        ),
        ("pkg.mod.late", []),
        ("pkg.mod.marked", ["first", "second", "third", "fourth"]),
        ("pkg.mod.dotted", []),
        ("pkg.mod.hidden", []),
        ("pkg.mod.wrapped", ["first"]),
        ("pkg.deep.inner", []),
    ],
)
def test_functions_that_fit(sources: Sources, plugin: str, inputs: list[Any]) -> None:
    """A registered function is found, however it is written, and never run."""
    assert errors(task(plugin, *inputs), plugins=sources) == []
    assert warnings(task(plugin, *inputs), plugins=sources) == []


@pytest.mark.parametrize("deep", ["-" * 50_000 + "1", "a" + ".a" * 50_000])
def test_a_plugin_that_is_too_deep(tmp_path: Path, deep: str) -> None:
    """Python itself gives it up; that is told as what is wrong with the file."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/mod.py").write_text(f"x = {deep}\n")
    (found,) = errors(task("pkg.mod.plain"), plugins=Sources(tmp_path))
    assert "pkg/mod.py" in found


@pytest.mark.parametrize(
    ("plugin", "inputs", "found"),
    [
        (
            "pkg.mod.plian",
            [],
            (
                "names the plugin 'pkg.mod.plian', but module 'pkg.mod'"
                " defines no function"
                " 'plian'. Did you mean 'plain'?"
            ),
        ),
        (
            "pkg.mod.method",
            [],
            (
                "names the plugin 'pkg.mod.method', but module 'pkg.mod'"
                " defines no function"
                " 'method'."
            ),
        ),
        ("pkg.mdo.plain", [], "Did you mean 'pkg.mod'?"),
        ("pkg.wrong.plain", [], "is not valid Python: invalid syntax"),
        (
            "pkg.mod.bare",
            [],
            (
                "names the plugin 'pkg.mod.bare', which is not registered."
                " Decorate the function"
                " with '@pyplugs.register'."
            ),
        ),
        ("pkg.mod.other", [], "which is not registered."),
        ("pkg.mod.odd", [], "which is not registered."),
        (
            "pkg.mod.plain",
            ["data", "epoch", "rate"],
            (
                "declares the input 'epoch', which function 'pkg.mod.plain'"
                " does not take. Did"
                " you mean 'epochs'?"
            ),
        ),
        (
            "pkg.mod.late",
            ["x"],
            (
                "declares the input 'x', which function 'pkg.mod.late' does"
                " not take. It takes"
                " none."
            ),
        ),
        (
            "pkg.mod.plain",
            ["epochs"],
            (
                "does not declare 'data' and 'rate', which function"
                " 'pkg.mod.plain' requires."
            ),
        ),
        (
            "pkg.mod.marked",
            ["second", "first"],
            (
                "declares the input 'first', which function 'pkg.mod.marked'"
                " takes only as"
                " positional argument 1."
            ),
        ),
    ],
)
def test_functions_that_do_not_fit(
    sources: Sources, plugin: str, inputs: list[str], found: str
) -> None:
    """A function that is missing, unregistered or different is reported once."""
    (issue,) = errors(task(plugin, *inputs), plugins=sources)
    assert issue.startswith("tasks.t")
    assert found in issue


@pytest.mark.parametrize(
    ("plugin", "inputs", "found"),
    [
        (
            "pkg.mod.plain",
            [{"name": "data", "type": "any", "required": False}, "rate"],
            (
                "declares the input 'data' as not required, but function"
                " 'pkg.mod.plain' has no"
                " default for it."
            ),
        ),
        (
            "pkg.mod.plain",
            ["epochs", "data", "rate"],
            (
                "declares 'epochs' and 'data' in this order, but function"
                " 'pkg.mod.plain' takes"
                " 'data' and 'epochs': positional arguments will be mixed up."
            ),
        ),
        (
            "pkg.mod.wrapped",
            ["first", "second"],
            (
                "declares the input 'second', which function 'pkg.mod.wrapped'"
                " does not take."
            ),
        ),
        ("pkg.mod.wrapped", [], "does not declare 'first', which function"),
    ],
)
def test_what_may_be_meant_is_a_warning(
    sources: Sources, plugin: str, inputs: list[Any], found: str
) -> None:
    """What works for some calls, or what a decorator may change, is only suspicious."""
    assert errors(task(plugin, *inputs), plugins=sources) == []
    (issue,) = warnings(task(plugin, *inputs), plugins=sources)
    assert found in issue


def test_a_plugin_that_is_no_path_is_reported_once(sources: Sources) -> None:
    """A plugin without a module is not looked for."""
    assert len(errors(task("plain"), plugins=sources)) == 1


def test_a_document_of_the_wrong_shape_has_no_plugins(sources: Sources) -> None:
    """The shape comes first."""
    assert len(errors({"tasks": {}, "graph": {"a": {"b": 1}}}, plugins=sources)) == 1


def test_an_empty_folder_has_no_modules(tmp_path: Path) -> None:
    """Where there is nothing, nothing is suggested."""
    (issue,) = errors(task("pkg.mod.plain"), plugins=Sources(tmp_path))
    assert issue.endswith(f"but there is no module 'pkg.mod' in {str(tmp_path)!r}.")
