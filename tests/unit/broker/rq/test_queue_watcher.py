"""The watcher of a queue outlives whatever goes wrong in it."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import pytest
import redis

from dioptra_worker.broker.rq import queue_watcher
from dioptra_worker.broker.rq.queue_watcher import QueueWatcher

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "trouble", [ValueError("no Redis'"), OSError("too many files"), redis.RedisError()]
)
@pytest.mark.parametrize("where", ["connecting", "looking"])
def test_goes_on(
    trouble: Exception, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any error it looks again, and says that the queue has something."""
    monkeypatch.setattr(queue_watcher, "PAUSE", 0.01)
    troubles = [trouble]

    class Connection:
        def blmove(self, *_: object) -> bytes:
            fail_once("looking")
            return b"1"

        def llen(self, _key: str) -> int:
            return 1

        def register_script(self, _script: str) -> Callable[..., Any]:
            """A place is had, and never given up."""
            return lambda **given: [1, 1] if len(given["args"]) > 1 else 0

    def fail_once(here: str) -> None:
        if here == where and troubles:
            raise troubles.pop()

    def connect(_seconds: float) -> Any:
        fail_once("connecting")
        return Connection()

    ready: queue.SimpleQueue[None] = queue.SimpleQueue()
    with QueueWatcher(connect, ["rq:queue:q"], ready=ready) as watcher:
        watcher.watch()
        ready.get(timeout=20)
    assert troubles == []
