"""The one function that Python calls for each module that is not there yet.

It looks it up each time. Another one in its place sees what a finder in `sys.meta_path`
or another `builtins.__import__` would, which plugins can see, compare and replace; for
the second each ``import`` of a loaded module would pay, too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_FUNCTION = "_find_and_load_unlocked"

FindAndLoad = Any
"""A function of a module's full name, and of what imports its parent."""


def put_around(wrap: Callable[[FindAndLoad], FindAndLoad]) -> bool:
    """Put a function around the one that finds and loads modules.

    Args:
        wrap: Is given the present one, and gives the next.

    Returns:
        Whether that can be; another version of Python may have none.
    """
    bootstrap: Any = importlib._bootstrap  # noqa: SLF001
    original = getattr(bootstrap, _FUNCTION, None)
    if original is None:
        return False
    new = wrap(original)
    as_pythons_own(new)
    setattr(bootstrap, _FUNCTION, new)
    return True


def as_pythons_own(function: Any) -> None:
    """Have Python leave a function out of tracebacks, and warnings pass over it."""
    like: Any = importlib._bootstrap._find_and_load  # type: ignore[attr-defined] # noqa: SLF001
    function.__code__ = function.__code__.replace(
        co_filename=like.__code__.co_filename, co_name=_FUNCTION
    )
