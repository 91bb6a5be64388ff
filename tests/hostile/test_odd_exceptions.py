"""Whatever a task raises, its job's log tells.

Attack: exceptions that are no `Exception`, and such whose class, words and attributes
raise others. Promise: the job fails with what was raised and the plugin's line, and
nothing of the worker's own code is shown.
"""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.runner.plugins.bundle import Bundle
from dioptra_worker.runner.plugins.errors import PluginError, PluginImportError
from dioptra_worker.sdk.tracebacks import MAX_TRACEBACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hostile.conftest import Ran

HOSTILE = """
    def refuse(*_): raise SystemExit(0)

    class Meta(type):
        __name__ = property(refuse)

    class Odd({base}, metaclass=Meta):
        def __str__(self): raise KeyboardInterrupt
        __repr__ = __str__
        __traceback__ = property(refuse, lambda *_: None)
        code = __cause__ = __context__ = __class__ = property(refuse)

    @pyplugs.register
    def act(): raise Odd
    """


@pytest.mark.parametrize("base", ["Exception", "KeyboardInterrupt"])
def test_what_cannot_be_shown_is_named(
    run_task: Callable[[str], Ran], base: str
) -> None:
    """An exception whose every attribute raises ends its job with its name."""
    ran = run_task(HOSTILE.format(base=base))
    assert ran.status == "failed"
    assert "Odd: (a Odd that cannot be shown)" in ran.text
    assert "its traceback cannot be shown" in ran.text


@pytest.mark.parametrize("base", ["Exception", "ModuleNotFoundError", "SyntaxError"])
def test_what_an_import_raises_is_named(tmp_path: Path, base: str) -> None:
    """However it lies or refuses, it is an error of the plugin's file and line."""
    source = dedent(HOSTILE.format(base=base)).replace("@pyplugs.register", "")
    error = _raised(tmp_path, f"{source}\n\nact()")
    assert type(error) is PluginImportError
    assert str(error).startswith("plugin file 'odd/tasks.py' cannot be imported: Odd: ")
    assert re.search(
        "raised at line [0-9]+ of plugin file 'odd/tasks.py', in", str(error)
    )


@pytest.mark.parametrize(
    "raised",
    [
        "ModuleNotFoundError('x', name=5)",
        "SyntaxError(Odd(), (__file__, Odd(), Odd(), Odd()))",
        "SyntaxError('m', (7, 1, 1, 'x'))",
        "type('O' * 10**6, (Exception,), {})('x')",
        "Exception(['x' * 10**7])",
        "ExceptionGroup('g', [Exception('x' * 1000) for _ in range(1000)])",
    ],
)
def test_whatever_an_import_raises_is_of_a_size(tmp_path: Path, raised: str) -> None:
    """What is made of it is no longer than somebody would read."""
    head = (
        "class Odd:\n    def __str__(self): raise SystemExit(0)\n    __repr__ = __str__"
    )
    error = _raised(tmp_path, f"{head}\nraise {raised}")
    assert type(error) is PluginImportError
    assert "line 4 of plugin file 'odd/tasks.py'" in str(error)
    assert len(str(error)) < MAX_TRACEBACK + 1000


def _raised(folder: Path, source: str) -> Exception:
    """What loading a plugin with this source raises."""
    (folder / "odd").mkdir()
    (folder / "odd/__init__.py").write_text("")
    (folder / "odd/tasks.py").write_text(source)
    with pytest.raises(PluginError) as caught:
        Bundle(folder, label="the bundle").function("odd.tasks.act")
    return caught.value


def test_an_exit_that_cannot_be_shown_is_one(run_task: Callable[[str], Ran]) -> None:
    """`SystemExit` without words is told as an exit."""
    ran = run_task(HOSTILE.format(base="SystemExit"))
    assert ran.status == "failed"
    assert "the job called sys.exit((a Odd that cannot be shown))" in ran.text


def test_what_is_no_exception_has_the_plugin_s_traceback(
    run_task: Callable[[str], Ran],
) -> None:
    """The plugin's line is told, and no frame of the worker."""
    ran = run_task("""
        @pyplugs.register
        def act():
            raise BaseExceptionGroup("several", [KeyboardInterrupt("stop"), OSError()])
        """)
    assert ran.status == "failed"
    assert "BaseExceptionGroup: several (2 sub-exceptions)" in ran.text
    assert "of plugin file 'odd/tasks.py', in act:" in ran.text
    assert "runner/main.py" not in ran.text
