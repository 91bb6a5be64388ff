"""Runs calls side by side in threads that nobody has to wait for."""

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


class Background:
    """An executor whose threads hold up neither a job's end nor the process's.

    A call that hangs in a service would do so in a `ThreadPoolExecutor`, whose threads
    are waited for in any case.
    """

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
        future: Future[T] = Future()
        self._futures.append(future)
        task = partial(self._run, future, partial(call, *args, **kwargs))
        threading.Thread(target=task, name=self._name, daemon=True).start()
        return future

    def wait(self, seconds: float) -> bool:
        """Wait a little for what still runs; whether all of it has ended."""
        return not futures.wait(self._futures, seconds).not_done

    def _run(self, future: Future[T], call: Callable[[], T]) -> None:
        with self._slots:
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                future.set_exception(error)
            else:
                future.set_result(result)
