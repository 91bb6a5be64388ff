"""What somebody asked of a stack, and how that becomes its configuration."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dioptra_worker.tools.local.config import SERVICES, StackConfig
from dioptra_worker.tools.local.errors import PortTaken, StackError
from dioptra_worker.tools.local.files import make_owner_only
from dioptra_worker.tools.local.ports import PortReservations, is_free

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class StackPlan:
    """What somebody asked of a stack; see `LocalStack.up`."""

    directory: Path
    cache: Path
    queues: tuple[str, ...]
    proxied_artifacts: bool
    peer_python: Path | None
    full_peer: bool
    ports: Mapping[str, int]

    def new_config(self, peer_python: Path) -> StackConfig:
        """Make the configuration of a stack that is not there yet.

        Raises:
            StackError: The folder holds something else.
        """
        self._make_folder()
        return StackConfig(
            directory=self.directory,
            ports=self.claim_ports(),
            peer_python=peer_python,
            proxied_artifacts=self.proxied_artifacts,
            queues=self.queues,
        )

    def check(self) -> None:
        """See that a new stack can be made, before what takes long; nothing is left.

        Raises:
            PortTaken: Another program listens on a port that was asked for.
            StackError: Two services are to have the same, or the folder holds
                something else.
            OSError: The folder cannot be made.
        """
        self._check_ports()
        is_there = self.directory.exists()
        self._make_folder()
        if not is_there:
            self.directory.rmdir()

    def _check_ports(self) -> None:
        for service, port in self.ports.items():
            if list(self.ports.values()).count(port) > 1:
                same = " and ".join(k for k, v in self.ports.items() if v == port)
                raise StackError(
                    f"Port {port} cannot be of {same}: name two with --port."
                )
            if not is_free(port):
                raise PortTaken(service, port)

    def _make_folder(self) -> None:
        make_owner_only(self.directory)
        if any(self.directory.iterdir()):
            # `down` removes the folder: it must not be anybody else's.
            raise StackError(
                f"{str(self.directory)!r} is not empty and holds no local stack: name "
                "a new or empty folder with --dir."
            )

    def undo(self) -> None:
        """Remove what `new_config` has made, and what was put into it since."""
        shutil.rmtree(self.directory, ignore_errors=True)
        PortReservations(self.cache).release(self.directory)

    def claim_ports(self) -> dict[str, int]:
        """Give every service a port: the one asked for, or a free one."""
        return PortReservations(self.cache).claim(SERVICES, self.directory, self.ports)

    def adapt(self, config: StackConfig) -> StackConfig:
        """Return the configuration of an existing stack with what was asked for.

        Raises:
            StackError: It was made in a way that cannot be changed.
        """
        if config.proxied_artifacts != self.proxied_artifacts:
            has, asked = (
                ("proxied", "direct") if config.proxied_artifacts else
                ("direct", "proxied")
            )  # fmt: skip
            raise StackError(
                f"The stack in {str(self.directory)!r} has {has} artifacts and was "
                f"asked for {asked} ones: run `dioptra-worker local down` first, or "
                "name another folder with --dir."
            )
        for service, port in self.ports.items():
            if config.ports[service] != port:
                raise StackError(
                    f"The stack in {str(self.directory)!r} has {service} on port "
                    f"{config.ports[service]}, not {port}: run `dioptra-worker local "
                    "down` first, or name another folder with --dir."
                )
        queues = tuple(dict.fromkeys((*config.queues, *self.queues)))
        return replace(config, queues=queues)
