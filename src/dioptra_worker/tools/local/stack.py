"""The local stack as a whole: up, down, and what it consists of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from dioptra_worker.common.background import Pool
from dioptra_worker.tools.local.config import SERVICES, StackConfig
from dioptra_worker.tools.local.environment import client_environment
from dioptra_worker.tools.local.locks import locked
from dioptra_worker.tools.local.paths import default_cache
from dioptra_worker.tools.local.plan import StackPlan
from dioptra_worker.tools.local.ports import PortReservations
from dioptra_worker.tools.local.progress import silent
from dioptra_worker.tools.local.services.service import Service
from dioptra_worker.tools.local.start import start_stack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dioptra_worker.tools.local.progress import StepListener
    from dioptra_worker.tools.local.services.service import Health

_LOCK_TIMEOUT = 600.0


class LocalStack:
    """Valkey, S3, MLflow and the Dioptra REST API, running on this machine.

    Leaving a ``with`` block takes the stack down; without one it stays until
    somebody calls `down`, also when this process has ended.

    Attributes:
        config: What the stack is made of, its secrets included.
        cache: The folder of what stacks share.
        was_running: Whether `up` found it running and had nothing to do.
    """

    def __init__(
        self, config: StackConfig, *, cache: Path, was_running: bool = False
    ) -> None:
        self.config = config
        self.cache = cache
        self.was_running = was_running
        self._services = {name: Service(name, config) for name in SERVICES}

    @classmethod
    def up(
        cls,
        directory: Path,
        *,
        queues: Sequence[str] = ("local",),
        proxied_artifacts: bool = False,
        peer_python: Path | None = None,
        full_peer: bool = False,
        ports: dict[str, int] | None = None,
        cache: Path | None = None,
        progress: StepListener = silent,
    ) -> Self:
        """Bring a stack up, or mend one that runs in part.

        Args:
            directory: Its folder; made if it is not there.
            queues: The queues to register, besides those it has.
            proxied_artifacts: Let artifacts pass through MLflow instead of going to
                S3 directly.
            peer_python: The interpreter of an environment that has dioptra-platform;
                without it one is made in the cache.
            full_peer: Make that environment with all that dioptra-platform declares.
            ports: Ports for some of the services; the others get free ones.
            cache: The folder of what stacks share.
            progress: Told of every step.

        Raises:
            StackError: It could not be brought up; nothing that this call started is
                left running.
        """
        plan = StackPlan(
            directory=directory.absolute(),
            cache=(cache or default_cache()).absolute(),
            queues=tuple(queues),
            proxied_artifacts=proxied_artifacts,
            peer_python=peer_python,
            full_peer=full_peer,
            ports=ports or {},
        )
        with _alone(plan.directory, plan.cache):
            started = start_stack(plan, progress)
        return cls(started.config, cache=plan.cache, was_running=started.was_running)

    @classmethod
    def attach(cls, directory: Path, *, cache: Path | None = None) -> Self:
        """Return the stack that was brought up in a folder.

        Args:
            directory: The folder.
            cache: The folder of what stacks share.

        Raises:
            NoStack: There is none.
        """
        config = StackConfig.load(directory.absolute())
        return cls(config, cache=(cache or default_cache()).absolute())

    @property
    def directory(self) -> Path:
        """The stack's folder."""
        return self.config.directory

    @property
    def peer_python(self) -> Path:
        """The interpreter of the environment that has dioptra-platform."""
        return self.config.peer_python

    def environment(self) -> dict[str, str]:
        """Return what a worker or a client needs in its environment."""
        return client_environment(self.config)

    def service(self, name: str) -> Service:
        """Return one service.

        Args:
            name: ``valkey``, ``s3``, ``mlflow`` or ``api``.

        Raises:
            KeyError: There is none of that name.
        """
        return self._services[name]

    def status(self, *, timeout: float = 5.0) -> list[Health]:
        """Ask every service how it is, all at once.

        Args:
            timeout: Seconds that each may take to answer.
        """
        with Pool("local-stack", max_parallel=len(self._services)) as pool:
            return list(
                pool.map(
                    lambda service: service.health(timeout=timeout),
                    self._services.values(),
                )
            )

    def down(self, *, keep: bool = False) -> None:
        """End every process of the stack.

        Who is interrupted in this calls it again: it is a stack up to the end.

        Args:
            keep: Leave its folder, with databases and logs, for the next `up`.
        """
        with _alone(self.directory, self.cache):
            with Pool("local-stack", max_parallel=len(self._services)) as pool:
                # Nothing is kept, so nothing needs time to write it down.
                end = Service.stop if keep else Service.kill
                list(pool.map(end, self._services.values()))
            if not keep:
                PortReservations(self.cache).release(self.directory)
                self.config.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()


def _alone(directory: Path, cache: Path) -> AbstractContextManager[None]:
    """Keep two commands from working on one stack; the lock outlives the folder."""
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    return locked(cache / "locks" / f"{digest}.lock", timeout=_LOCK_TIMEOUT)
