"""Hears RQ's commands: stop a job, kill it, shut the worker down."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any, Self

import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

log = logging.getLogger("dioptra_worker.commands")

POLL_INTERVAL = 5.0


class CommandListener:
    """A thread that stays subscribed to the worker's channel, whatever happens."""

    def __init__(
        self,
        connect: Callable[[float], redis.Redis],
        channel: str,
        *,
        handle: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Prepare; entering starts the thread.

        Args:
            connect: Makes a connection whose answers may take the given seconds.
            channel: The worker's pub/sub channel.
            handle: Called with each command, such as ``{"command": "stop-job",
                "job_id": "7"}``.
        """
        self._connect = connect
        self._channel = channel
        self._handle = handle
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._listen, name="dioptra-commands", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with self._connect(POLL_INTERVAL).pubsub() as pubsub:  # type: ignore[no-untyped-call]
                    pubsub.subscribe(self._channel)
                    while not self._closed.is_set():
                        self._take(pubsub.get_message(timeout=POLL_INTERVAL))
            except (redis.RedisError, OSError) as error:
                log.debug("subscribing again after: %s", error)
                self._closed.wait(1.0)

    def _take(self, message: Mapping[str, Any] | None) -> None:
        if message is None or message["type"] != "message":
            return
        try:
            command = json.loads(message["data"])
            command["command"]
        except (ValueError, TypeError, KeyError):
            log.warning("a command that is none was ignored: %r", message["data"])
            return
        try:
            self._handle(command)
        except Exception:
            log.exception("command %r could not be obeyed", command)
