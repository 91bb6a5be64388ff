"""Commands that come by Redis: who can write to it can send what they like."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING, Any, Self

from tests.plugins.until import until

from dioptra_worker.broker.rq.commands import MAX_TOLD, CommandListener

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

NONSENSE = [
    b"\xff\xfe\0",
    b"[" * 5000,
    b'{"command":' * 1000,
    b"x" * (1 << 20),
    b"null",
    b'{"command": ["shutdown"]}',
    b'{"command": "nonsense"}',
    b'{"command": "stop-job", "job_id": "' + b"9" * 9000 + b'"}',
]


class _Channel:
    """A subscription that gives what it was made with."""

    def __init__(self, messages: list[bytes]) -> None:
        self.left: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        for message in messages:
            self.left.put(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def pubsub(self) -> Self:
        return self

    def subscribe(self, _name: str) -> None:
        pass

    def get_message(self, timeout: float) -> Mapping[str, Any] | None:
        del timeout
        try:
            data = self.left.get(timeout=0.01)
        except queue.Empty:
            return None
        return {"type": "message", "data": data}


class _Stops:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def shut_down(self) -> None:
        self.asked.append("shut down")

    def stop_job(self, job_id: str) -> bool:
        return job_id == "7"

    def kill_job(self) -> None:
        raise RuntimeError("a fault of ours")


def test_nonsense_is_told_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    """However much of it comes, the log stays short and what is meant is heard."""
    kill, shutdown = b'{"command": "kill-horse"}', b'{"command": "shutdown"}'
    channel, stops = _Channel([*NONSENSE * 500, kill, shutdown]), _Stops()
    with (
        caplog.at_level(logging.WARNING),
        CommandListener(lambda _: channel, "channel", stops=stops),  # type: ignore[arg-type,return-value]
    ):
        until(lambda: stops.asked == ["shut down"])
    told = [it for it in caplog.records if it.levelno == logging.WARNING]
    assert len(told) == MAX_TOLD
    assert max(len(it.getMessage()) for it in told) < 1000
    assert "a command could not be obeyed" in caplog.text
