"""Ports on 127.0.0.1 that no two stacks are given, however they race.

A file in the cache folder says which folder's stack has which port; a lock guards
it. The ports lie below every system's range for outgoing connections, so that no
connection takes one while its service is being restarted.
"""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.tools.local.errors import StackError
from dioptra_worker.tools.local.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOST = "127.0.0.1"
# Linux hands out 32768 and up, macOS 49152 and up.
_RANGE = range(20000, 30000)
_LOCK_TIMEOUT = 30.0


class PortReservations:
    """The ports that stacks on this machine have.

    Attributes:
        folder: Where the file lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(
        self, names: Iterable[str], owner: Path, fixed: Mapping[str, int]
    ) -> dict[str, int]:
        """Give each name a port that nobody listens on and no other stack has.

        Args:
            names: The services.
            owner: The stack's folder; it has the ports until it is gone.
            fixed: Ports that were asked for.

        Raises:
            StackError: No free port is left.
        """
        # One lock from reading to writing: of two stacks that start at once, the second
        # must see what the first was given, although nothing listens there yet. It
        # keeps out stacks only. Any other program can still take a port before its
        # service does: that start raises `PortTaken`, and `start_stack` asks again.
        with locked(self.folder / "ports.lock", timeout=_LOCK_TIMEOUT):
            reserved = self._read()
            taken = {int(port) for port in reserved}
            candidates = iter(random.sample(_RANGE, len(_RANGE)))
            ports = {}
            for name in names:
                ports[name] = fixed.get(name) or _next_free(candidates, taken)
            reserved |= {str(port): str(owner) for port in ports.values()}
            self._write(reserved)
        return ports

    def release(self, owner: Path) -> None:
        """Forget the ports of a stack."""
        with locked(self.folder / "ports.lock", timeout=_LOCK_TIMEOUT):
            self._write(
                {port: who for port, who in self._read().items() if who != str(owner)}
            )

    def _read(self) -> dict[str, str]:
        try:
            reserved = json.loads((self.folder / "ports.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        # A stack that was removed without `down` has released nothing.
        return {port: who for port, who in reserved.items() if Path(who).exists()}

    def _write(self, reserved: dict[str, str]) -> None:
        (self.folder / "ports.json").write_text(json.dumps(reserved, indent=1))


def is_free(port: int) -> bool:
    """Tell whether a service could listen on the port now."""
    with socket.socket() as client:
        client.settimeout(1)
        # BSD lets one bind beside a listener on 0.0.0.0, so ask it first.
        if client.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except OSError:
            return False
    return True


def _next_free(candidates: Iterable[int], taken: set[int]) -> int:
    for port in candidates:
        if port not in taken and is_free(port):
            return port
    raise StackError(
        f"No free port on {HOST} between {_RANGE.start} and {_RANGE.stop}: end some "
        "programs, or name ports with --port."
    )
