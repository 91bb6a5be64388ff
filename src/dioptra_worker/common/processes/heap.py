"""Where the C library takes this process's memory from."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8
"""Of `mallopt(3)`."""


def use_one_arena() -> bool:
    """Have all threads take their memory from one place; before they are started.

    The GNU C library gives threads that run side by side arenas of their own, up to
    eight for each processor, and what is freed in one is of no use to the others. A
    process that starts some 40 threads for each job touches more of each with time,
    though it holds no more. Threads that hold Python's lock gain nothing by that.

    It does not hold for other programs that this process starts.

    Returns:
        Whether the C library can do that; others have no arenas.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1) == 1)
    except AttributeError:  # macOS, musl
        return False
