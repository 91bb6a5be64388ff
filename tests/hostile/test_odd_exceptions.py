"""Whatever a task raises, its job's log tells.

Attack: exceptions that are no `Exception`, and such whose class, words and attributes
raise others. Promise: the job fails with what was raised and the plugin's line, and
nothing of the worker's own code is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

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
