"""Which workers listen on which queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.broker.rq.workers import queue_names, workers
from dioptra_worker.tools.jobs.control.queues import open_queues
from dioptra_worker.tools.resources.errors import Unknown
from dioptra_worker.tools.resources.names import instead

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.broker.rq.workers import SeenWorker


def listeners(
    environment: Mapping[str, str], *, queue: str | None = None
) -> list[SeenWorker]:
    """The workers that give signs of life.

    Args:
        environment: Has the address of Redis.
        queue: Only those that listen there; None is all.

    Raises:
        SettingsError: The environment has no address.
        Unknown: Nobody listens on such a queue, and it has had no jobs either.
        ServiceError: Redis cannot be reached.
    """
    with open_queues(environment) as connection, translate_errors():
        found = workers(connection)
        if queue is None:
            return found
        known = {name for worker in found for name in worker.queues}
        if queue not in known and queue not in (had := queue_names(connection)):
            there = instead(queue, known | set(had)) or "none at all"
            raise Unknown(f"there is no queue {queue!r} in Redis: there is {there}")
        return [worker for worker in found if queue in worker.queues]
