"""What somebody asked of a stack, and how that becomes its configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dioptra_worker.tools.local.config import SERVICES, StackConfig
from dioptra_worker.tools.local.errors import StackError
from dioptra_worker.tools.local.files import make_owner_only
from dioptra_worker.tools.local.ports import PortReservations

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
        make_owner_only(self.directory)
        if any(self.directory.iterdir()):
            # `down` removes the folder: it must not be anybody else's.
            raise StackError(
                f"{str(self.directory)!r} is not empty and holds no local stack: name "
                "a new or empty folder with --dir."
            )
        return StackConfig(
            directory=self.directory,
            ports=self.claim_ports(),
            peer_python=peer_python,
            proxied_artifacts=self.proxied_artifacts,
            queues=self.queues,
        )

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
