"""Packages that the platform's tests import and that nothing here has to obtain.

Its tests of the REST API stop the clock, which no test that runs here depends on, and
takes a third of their time; and they import a maker of names for tests that do not run
here.
"""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self


class _Running(contextlib.ContextDecorator):
    """Lets the clock run where a test wants it stopped."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def tick(self, seconds: float) -> None:
        """Let no time pass at once."""

    def __exit__(self, *_: object) -> None:
        """End."""


def _freeze_time(*_args: Any, **_options: Any) -> _Running:
    return _Running()


def install() -> None:
    """Make the stand-ins importable."""
    clock, names = ModuleType("freezegun"), ModuleType("faker")
    vars(clock)["freeze_time"] = _freeze_time
    vars(names)["Faker"] = object
    sys.modules |= {"freezegun": clock, "faker": names}
