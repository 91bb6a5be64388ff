"""Opens the Redis that holds the job queues, whose address the environment has."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from dioptra_worker.broker.connection import connect
from dioptra_worker.errors import SettingsError
from dioptra_worker.settings import secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import redis

URL = "RQ_REDIS_URI"


def has_queues(environment: Mapping[str, str]) -> bool:
    """Whether the environment has the queues' address, right or wrong."""
    return bool(environment.get(URL) or environment.get(f"{URL}_FILE"))


@contextlib.contextmanager
def open_queues(
    environment: Mapping[str, str], **options: Any
) -> Iterator[redis.Redis]:
    """Connect to the queues.

    Args:
        environment: Has their address.
        **options: How, as `broker.connection.connect` takes it.

    Raises:
        SettingsError: It has not, or the address is none.
    """
    url = secret(URL, environment)
    if not url:
        wanted = "the Redis that holds the job queues, such as redis://localhost:6379/0"
        raise SettingsError([f"{URL} is missing: {wanted}"])
    with contextlib.closing(connect(url, **options)) as connection:
        yield connection
