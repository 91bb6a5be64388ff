"""Runs calls in threads that nobody has to wait for.

A call that hangs in a service would hold up whoever waits for it, and in a
`ThreadPoolExecutor` the end of the process, too.
"""

from __future__ import annotations

import queue
import threading
from concurrent import futures
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from dioptra_worker.errors import WorkerTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


def in_background(call: Callable[[], T], name: str) -> Future[T]:
    """Run a call in a thread of its own.

    Args:
        call: What to do.
        name: What the thread is called.

    Returns:
        What comes of it; it cannot be cancelled.

    Raises:
        WorkerTrouble: There can be no more threads.
    """
    future: Future[T] = Future()
    thread = threading.Thread(target=_run, args=[future, call], name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise WorkerTrouble(f"{error}: raise the limit on processes") from error
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


class Pool:
    """Some threads for many calls; leaving its block waits for none that hangs.

    The standard library's waits for each, also when Ctrl-C has ended what wanted them.
    """

    def __init__(self, name: str, *, max_parallel: int) -> None:
        """Prepare; threads are started as calls come.

        Args:
            name: What the threads are called.
            max_parallel: How many calls run at the same time.
        """
        self._name = name
        self._free = max_parallel
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = 0
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_closed = True
        for _ in range(self._threads):
            self._calls.put(None)

    def submit(
        self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Run a call as soon as there is a thread for it."""
        future: Future[T] = Future()
        self._calls.put(partial(_run, future, partial(call, *args, **kwargs)))
        if self._free:
            in_background(self._work, self._name)
            self._free -= 1
            self._threads += 1
        return future

    def map(self, call: Callable[[U], T], items: Iterable[U]) -> Iterator[T]:
        """Run a call for each item; yields what comes of them, in their order."""
        asked = [self.submit(call, item) for item in items]
        return (future.result() for future in asked)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None and not self._is_closed:
            call()


def _run(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        future.set_exception(error)
    else:
        future.set_result(result)
