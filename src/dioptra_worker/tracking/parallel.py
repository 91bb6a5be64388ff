"""Does one thing to many items, a few at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def parallel_map(
    function: Callable[[T], object], items: Sequence[T], *, max_workers: int
) -> None:
    """Call a function with each item; a failure ends it after those under way.

    Args:
        function: What to call, in threads.
        items: What with; a single one needs no thread.
        max_workers: How many calls run at a time.

    Raises:
        Exception: The first that a call has raised.
    """
    if len(items) <= 1:
        for item in items:
            function(item)
        return
    pool = ThreadPoolExecutor(min(max_workers, len(items)))
    try:
        for _ in pool.map(function, items):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
