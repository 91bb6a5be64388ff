"""Answers what a runner asks, one by one, in another thread than its supervisor's."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from dioptra_worker.supervision.channel.message_limits import (
    MAX_OPEN_REQUESTS,
    LimitReached,
)

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")


class Answering(Generic[R]):
    """A thread that answers requests; it begins with the first, as few jobs ask."""

    def __init__(
        self,
        answer: Callable[[R], object],
        *,
        name: str,
        limit: int = MAX_OPEN_REQUESTS,
    ) -> None:
        """Prepare.

        Args:
            answer: Answers one request, in the thread, however long it takes.
            name: What the thread is called.
            limit: Requests that may wait.
        """
        self._answer = answer
        self._name = name
        self._limit = limit
        self._requests: queue.SimpleQueue[R | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def ask(self, request: R) -> None:
        """Take a request; from one thread only.

        Raises:
            LimitReached: Too many wait.
        """
        if self._requests.qsize() >= self._limit:
            raise LimitReached(
                f"it has more than {self._limit:,} questions to the worker open at the"
                " same time"
            )
        self._requests.put(request)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name=self._name, daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Answer no more; the thread ends once it has answered what it is at."""
        self._is_closed = True
        self._requests.put(None)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None and not self._is_closed:
            self._answer(request)
