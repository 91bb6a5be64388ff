"""Whether a test has met code of ours: one that has not says nothing about it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_met = False


def forget() -> None:
    """A test begins."""
    global _met  # noqa: PLW0603 - of one process, whose tests run one by one
    _met = False


def note() -> None:
    """Code of ours is called."""
    global _met  # noqa: PLW0603
    _met = True


def happened() -> bool:
    """Whether code of ours was called since the test began."""
    return _met


def noted(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function of ours, so that its calls are noted."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        note()
        return function(*args, **kwargs)

    return call


def watch(owner: Any, *names: str) -> None:
    """Note the calls of attributes of a module or class of ours."""
    for name in names:
        setattr(owner, name, noted(getattr(owner, name)))
