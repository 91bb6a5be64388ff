"""Many idle workers of one queue: who is woken by what comes, on the real Valkey."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.plugins.until import until

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.rq import queue_watcher
from dioptra_worker.broker.rq.queue_watcher import QueueWatcher
from dioptra_worker.broker.rq.watch_places import PLACES, WatchPlaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from dioptra_worker.tools.local import LocalStack

MANY = 30
FEW = 3
"""Workers that one entry may wake: those that watch, and one that just looked."""
SOON = 20.0
AT_ONCE = 0.5 * queue_watcher.BLOCK_TIMEOUT
"""Seconds in which nobody looks who is not called."""


class Fleet:
    """A queue, and idle workers of it.

    Attributes:
        key: The queue's list.
        taken: What they have taken, in order.
        woken: How often one of them was.
        job_seconds: How long a worker is busy with an entry.
    """

    def __init__(self, url: str, client: redis.Redis) -> None:
        self.key = f"rq:queue:fleet-{uuid4().hex[:8]}"
        self.taken: list[bytes] = []
        self.woken: list[str] = []
        self.job_seconds = 0.05
        self._waits: list[None] = []
        self._url = url
        self._client = client
        self._ended = threading.Event()

    def place(self, number: int) -> str:
        """The key of one of the queue's places."""
        return f"dioptra-worker:watch:{self.key}:{number}"

    @property
    def watching(self) -> int:
        """How many places are taken."""
        return self._client.exists(*[self.place(number) for number in range(PLACES)])

    def put(self, *entries: str) -> None:
        """Entries come."""
        self._client.rpush(self.key, *entries)

    @contextmanager
    def at_work(self, count: int, *, hanging: bool = False) -> Iterator[None]:
        """Have workers wait until the end of the block.

        Args:
            count: How many.
            hanging: Whether they do nothing when they are woken.
        """
        work = self._hang if hanging else self._work
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        until(lambda: self.watching >= min(count, PLACES), seconds=SOON)
        until(lambda: len(self._waits) >= count, seconds=SOON)
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(SOON)
            self._ended.clear()
            self._waits.clear()

    @contextmanager
    def _watcher(self) -> Iterator[tuple[QueueWatcher, queue.SimpleQueue[None]]]:
        ready: queue.SimpleQueue[None] = queue.SimpleQueue()
        with QueueWatcher(partial(connect, self._url), [self.key], ready=ready) as it:
            yield it, ready

    def _hang(self) -> None:
        with self._watcher() as (watcher, _):
            watcher.watch()
            self._waits.append(None)
            self._ended.wait()

    def _work(self) -> None:
        with self._watcher() as (watcher, ready), connect(self._url) as client:
            while not self._ended.is_set():
                found = client.lpop(self.key)
                if isinstance(found, bytes):
                    watcher.pause()
                    self.taken.append(found)
                    self._ended.wait(self.job_seconds)
                    continue
                watcher.watch()
                self._waits.append(None)
                while not self._ended.is_set():
                    try:
                        ready.get(timeout=0.1)
                    except queue.Empty:
                        continue
                    self.woken.append(threading.current_thread().name)
                    break


@pytest.fixture(name="fleet")
def _fleet(stack: LocalStack) -> Iterator[Fleet]:
    url = stack.environment()["RQ_REDIS_URI"]
    with ExitStack() as closing:
        client = closing.enter_context(connect(url))
        fleet = Fleet(url, client)
        yield fleet
        client.delete(fleet.key, *[fleet.place(n) for n in range(PLACES)])


def test_one_entry_wakes_few_of_many(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry is taken at once, and most of many idle workers never hear of it."""
    monkeypatch.setattr(queue_watcher, "VERDICT_TIMEOUT", SOON)  # however busy we are
    fleet.job_seconds = SOON
    with fleet.at_work(MANY):
        for count in range(1, 6):
            before = len(fleet.woken)
            fleet.put(f"entry {count}")
            until(lambda count=count: len(fleet.taken) == count, seconds=SOON)  # type: ignore[misc]
            time.sleep(0.1)  # for whoever else might be woken
            assert 1 <= len(fleet.woken) - before <= FEW
            # Others watch by now; nobody has had time to look uncalled.
            until(lambda: fleet.watching == PLACES, seconds=AT_ONCE)


def test_many_entries_wake_many(fleet: Fleet) -> None:
    """Entries that come together are taken side by side, each by one worker."""
    with fleet.at_work(MANY):
        began = time.monotonic()
        fleet.put(*[f"entry {number}" for number in range(MANY)])
        until(lambda: len(fleet.taken) == MANY, seconds=SOON)
        # One after the other, each would wait for the one before it to be called.
        assert time.monotonic() - began < AT_ONCE
    assert len(set(fleet.taken)) == MANY


def test_workers_that_watch_and_hang_are_passed(fleet: Fleet) -> None:
    """Those who watch and do not get to a job call another after a moment."""
    with fleet.at_work(PLACES, hanging=True), fleet.at_work(1):
        fleet.put("an entry")
        until(lambda: fleet.taken == [b"an entry"], seconds=SOON)


def test_workers_that_watch_and_are_lost(
    fleet: Fleet, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all who watch are lost, the others look at the queue by themselves."""
    monkeypatch.setattr(queue_watcher, "BLOCK_TIMEOUT", 1)
    monkeypatch.setattr(queue_watcher, "SECOND_LOOK", 0.1)
    with connect(stack.environment()["RQ_REDIS_URI"]) as client:
        for number in range(PLACES):
            client.set(fleet.place(number), "somebody", ex=3600)
        with fleet.at_work(2):
            fleet.put("an entry")
            until(lambda: fleet.taken == [b"an entry"], seconds=SOON)
        assert client.ttl(fleet.place(0)) > 60  # it was not for that place to run out


def test_whatever_breaks_is_tried_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody has thought of ends no watch, and is told."""
    monkeypatch.setattr(queue_watcher, "PAUSE", 0.01)
    whole, broken = WatchPlaces.look, [ValueError("nobody has thought of it")]

    def look(places: WatchPlaces, seconds: float) -> tuple[bool, int]:
        if broken:
            raise broken.pop()
        return whole(places, seconds)

    monkeypatch.setattr(WatchPlaces, "look", look)
    with fleet.at_work(1):
        fleet.put("an entry")
        until(lambda: fleet.taken == [b"an entry"], seconds=SOON)
    assert "broke, and begins again" in caplog.text


def test_what_somebody_else_wrote(fleet: Fleet, stack: LocalStack) -> None:
    """A place that is none runs out as any does, and keeps nobody from watching."""
    with connect(stack.environment()["RQ_REDIS_URI"]) as client:
        client.rpush(fleet.place(0), "a list")
        client.set(fleet.place(1), "for ever")
        with fleet.at_work(2):
            until(lambda: 0 < client.ttl(fleet.place(0)) < 60, seconds=SOON)
            until(lambda: 0 < client.ttl(fleet.place(1)) < 60, seconds=SOON)


def test_a_worker_that_ends_watches_no_more(fleet: Fleet) -> None:
    """A place is free as soon as its worker has ended."""
    with fleet.at_work(PLACES):
        assert fleet.watching == PLACES
    until(lambda: fleet.watching == 0, seconds=2.0)
