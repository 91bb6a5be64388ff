"""The loop of every batch worker: claim, work, record; one failure stops no other."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from dioptra_worker.batch.claims import ActivityState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dioptra_worker.batch.claims import ElementClaims
    from dioptra_worker.batch.progress import Progress

log = logging.getLogger("dioptra_worker.batch")


class Item(Protocol):
    """What is worked on; the log names it by its text."""

    @property
    def id(self) -> str:
        """What names it everywhere."""
        ...


T = TypeVar("T", bound=Item)


class Loop(Generic[T]):
    """Works on items one after the other.

    Items over which a job was lost before come last, so that one that takes its job
    down with it does not keep the others from being done.
    """

    def __init__(
        self,
        work: Callable[[T], None],
        *,
        claims: ElementClaims,
        progress: Progress,
        log_failure: Callable[[T, Exception], str],
    ) -> None:
        """Prepare.

        Args:
            work: Processes one item.
            claims: The record of who works on what, and of what is done.
            progress: Counts.
            log_failure: Logs why an item failed, and returns that.
        """
        self._work = work
        self._claims = claims
        self._progress = progress
        self._log_failure = log_failure

    def run(self, items: Sequence[T]) -> None:
        """Work on all of them."""
        self._progress.report()
        postponed = [item for item in items if not self._try_item(item, last=False)]
        for item in postponed:
            self._try_item(item, last=True)

    def _try_item(self, item: T, *, last: bool) -> bool:
        """Work on an item; False when it is to be tried after all others."""
        progress = self._progress
        try:
            claim = self._claims.claim(item.id, last=last)
            if claim == "postponed":
                log.info("%s comes last: a job was lost over it", item)
                return False
            if claim == "taken":
                log.info("Skipping %s as it is processed already, or being so", item)
                progress.skipped += 1
            else:
                log.info("Processing %s (%d/%d)", item, progress.next, progress.total)
                self._process(item)
        except Exception as error:  # noqa: BLE001 - one item stops no other
            reraise_time_limit(error)
            self._log_failure(item, error)
            progress.failed += 1
        progress.report()
        return True

    def _process(self, item: T) -> None:
        """Work on a claimed item and say what became of it."""
        with self._released_when_stopped(item):
            try:
                self._work(item)
            except Exception as error:  # noqa: BLE001 - one item stops no other
                words = self._log_failure(item, error)
                with contextlib.suppress(Exception):
                    self._claims.set_state(item.id, ActivityState.Error, words)
                reraise_time_limit(error)
                self._progress.failed += 1
                return
        if self._claims.set_state(item.id, ActivityState.Processed):
            self._progress.completed += 1
        else:
            log.warning("%s was taken over by another job meanwhile", item)
            self._progress.skipped += 1

    @contextlib.contextmanager
    def _released_when_stopped(self, item: T) -> Iterator[None]:
        """Let go of a claimed item when the job is stopped within."""
        try:
            yield
        except Exception:
            raise
        except BaseException:
            with contextlib.suppress(Exception):
                self._claims.set_state(item.id, ActivityState.Queued)
            raise


def reraise_time_limit(error: Exception) -> None:
    """Raise a time limit of RQ's own worker again: it is an ordinary `Exception`.

    Raises:
        Exception: *error*, if it is one; nothing happens otherwise.
    """
    timeouts = sys.modules.get("rq.timeouts")
    if timeouts is not None and isinstance(error, timeouts.BaseTimeoutException):
        raise error
