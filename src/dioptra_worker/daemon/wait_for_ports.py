"""Waiting at the start for addresses that somebody named, as ``--wait-for`` asks.

The daemon waits by itself for every service that it needs, however long that takes.
This is for deployments that name addresses on the command line: it holds back the
start, says so, and has an end, since an address may be of something that we never use.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger("dioptra_worker.daemon")

PATIENCE = 60.0
"""Seconds that all addresses together may take."""
PAUSE = 1.0
"""Seconds between two tries."""
_KNOCK = 3.0


@dataclass(frozen=True)
class Address:
    """A host and one of its TCP ports.

    Attributes:
        host: A name or an IP address, without brackets.
        port: From 1 to 65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host:port``; an IPv6 address stands in brackets.

        Raises:
            ValueError: It is something else.
        """
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") if "[" in host else host
        number = int(port) if port.isascii() and port.isdigit() else 0
        bare = "[" not in text and ":" in host
        if not host or host != host.strip() or bare or not 0 < number < 65536:
            raise ValueError(f"{text!r} is no HOST:PORT, such as redis:6379")
        return cls(host, number)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def opens(self) -> bool:
        """Whether something listens there now."""
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), timeout=_KNOCK).close()
            return True
        return False


def wait_for(
    addresses: Iterable[Address],
    *,
    pause: Callable[[float], bool],
    seconds: float = PATIENCE,
) -> bool:
    """Wait until each address has opened once, or the time is up.

    Args:
        addresses: What to wait for.
        pause: Waits some seconds; True breaks off.
        seconds: How long in all.

    Returns:
        False when it was broken off, else True: also when the time was up.
    """
    closed = list(dict.fromkeys(addresses))
    deadline = time.monotonic() + seconds
    told = False
    while closed := [address for address in closed if not address.opens()]:
        names = ", ".join(map(str, closed))
        if time.monotonic() >= deadline:
            log.warning(
                "--wait-for: %s did not open within %g s; starting all the same, since"
                " the worker itself waits for what it needs",
                names,
                seconds,
            )
            return True
        if not told:
            log.info("--wait-for: waiting for %s, %g s at most", names, seconds)
            told = True
        if pause(PAUSE):
            return False
    return True
