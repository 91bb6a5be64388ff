"""Hears RQ's commands and does what they ask: stop a job, kill it, shut down.

A new command of RQ's is a line in `COMMANDS`, and a method of `StopRequests` if it asks
for something that no other does.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import redis
from rq.command import send_command

from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.common.stop import StopRequests

log = logging.getLogger("dioptra_worker.commands")

POLL_INTERVAL = 5.0
"""Seconds that one look for a command waits."""
RESUBSCRIBE_DELAY = 1.0
"""Seconds before listening begins again after it failed."""
MAX_COMMAND_BYTES = 1 << 14
"""Bytes of a command; RQ's have some hundred."""
MAX_SHOWN = 200
"""Characters of what was ignored that the log quotes."""
MAX_TOLD = 10
"""Commands that are ignored in `TELL_INTERVAL` of which the log tells each."""
TELL_INTERVAL = 60.0
"""Seconds; whoever can write to Redis can send thousands a second."""


class Ignored(WorkerError):
    """A command that nothing comes of; the message says why."""


def _shut_down(stops: StopRequests, _body: Mapping[str, Any]) -> None:
    log.info("RQ's command to shut down")
    stops.shut_down()


def _stop_job(stops: StopRequests, body: Mapping[str, Any]) -> None:
    job_id = str(body.get("job_id"))
    if not stops.stop_job(job_id):
        raise Ignored(f"not running job {job_id[:MAX_SHOWN]}: stop ignored")


def _kill_job(stops: StopRequests, _body: Mapping[str, Any]) -> None:
    stops.kill_job()


COMMANDS: dict[str, Callable[[StopRequests, Mapping[str, Any]], None]] = {
    "shutdown": _shut_down,
    "stop-job": _stop_job,
    "stop-execution": _stop_job,
    "kill-horse": _kill_job,
}
"""What to do at each of RQ's commands, given all that came with it."""


def ask_to_stop_job(connection: redis.Redis, worker: str, job_id: str) -> None:
    """Ask a worker to stop a job; it may not hear it."""
    with translate_errors():
        send_command(connection, worker, "stop-job", job_id=job_id)


class CommandListener:
    """A thread that stays subscribed to the worker's channel, whatever happens."""

    def __init__(
        self,
        connect: Callable[[float], redis.Redis],
        channel: str,
        *,
        stops: StopRequests,
    ) -> None:
        """Prepare; entering starts the thread.

        Args:
            connect: Makes a connection whose answers may take the given seconds.
            channel: The worker's pub/sub channel.
            stops: Takes what the commands ask.
        """
        self._connect = connect
        self._channel = channel
        self._stops = stops
        self._told = 0
        self._untold = 0
        self._told_since = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._listen, name="dioptra-commands", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
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
                self._closed.wait(RESUBSCRIBE_DELAY)
            except Exception:  # without this thread no command is heard any more
                log.exception("listening to commands broke, and begins again")
                self._closed.wait(RESUBSCRIBE_DELAY)

    def _take(self, message: Mapping[str, Any] | None) -> None:
        if message is None or message["type"] != "message":
            return
        try:
            self._obey(message["data"])
        except Ignored as error:
            self._tell(str(error))
        except Exception:  # without this thread no command would be heard any more
            log.exception("a command could not be obeyed")

    def _obey(self, data: bytes | str) -> None:
        """Do what is asked.

        Raises:
            Ignored: It is nothing that can be done.
        """
        command = _read(data)
        if command is None:
            raise Ignored(f"a command that is none was ignored: {data[:MAX_SHOWN]!r}")
        name = command["command"]
        if name not in COMMANDS:
            raise Ignored(f"unknown command {name[:MAX_SHOWN]!r} was ignored")
        COMMANDS[name](self._stops, command)

    def _tell(self, words: str) -> None:
        """Have the log say it, or count it where there are too many."""
        now = time.monotonic()
        if now - self._told_since > TELL_INTERVAL:
            if self._untold:
                log.warning("%d more commands were ignored", self._untold)
            self._told = self._untold = 0
            self._told_since = now
        self._told += 1
        if self._told > MAX_TOLD:
            self._untold += 1
            return
        log.warning("%s", words)


def _read(data: bytes | str) -> dict[str, Any] | None:
    """A command of RQ's: a small mapping with a name; None for anything else."""
    if len(data) > MAX_COMMAND_BYTES:  # before it is decoded: nesting costs the stack
        return None
    try:
        command = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(command, dict) or not isinstance(command.get("command"), str):
        return None
    return command
