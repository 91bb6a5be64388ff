"""Runs calls in threads that nobody has to wait for.

A call that hangs in a service would hold up whoever waits for it, and in a
`ThreadPoolExecutor` the end of the process, too.
"""

from __future__ import annotations

import threading
from concurrent import futures
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


def in_background(call: Callable[[], T], name: str) -> Future[T]:
    """Run a call in a thread of its own.

    Args:
        call: What to do.
        name: What the thread is called.

    Returns:
        What comes of it; it cannot be cancelled.
    """
    future: Future[T] = Future()
    threading.Thread(target=_run, args=[future, call], name=name, daemon=True).start()
    return future


class Background:
    """An executor whose threads hold up neither a job's end nor the process's."""

    def __init__(self, name: str, *, max_parallel: int) -> None:
        """Prepare.

        Args:
            name: What its threads are called.
            max_parallel: How many calls run at the same time.
        """
        self._name = name
        self._slots = threading.Semaphore(max_parallel)
        self._futures: list[Future[Any]] = []

    def submit(
        self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Run a call as soon as it is its turn."""
        task = partial(self._in_turn, partial(call, *args, **kwargs))
        future = in_background(task, self._name)
        self._futures.append(future)
        return future

    def wait(self, seconds: float) -> bool:
        """Wait a little for what still runs; whether all of it has ended."""
        return not futures.wait(self._futures, seconds).not_done

    def _in_turn(self, call: Callable[[], T]) -> T:
        with self._slots:
            return call()


def _run(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        future.set_exception(error)
    else:
        future.set_result(result)
