"""The client with which a plugin speaks for the worker that runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Literal

from dioptra_worker.sdk.worker import spawned_children

if TYPE_CHECKING:
    import logging

    from structlog.typing import FilteringBoundLogger

    from dioptra_worker.sdk.client import DioptraClient

USERNAME_VARIABLE: Final = "DIOPTRA_WORKER_USERNAME"
PASSWORD_VARIABLE: Final = "DIOPTRA_WORKER_PASSWORD"  # noqa: S105 - a name


def get_authenticated_worker_client(
    log: logging.Logger | FilteringBoundLogger,
    client_type: Literal["json", "response"] = "response",
) -> DioptraClient[Any]:
    """Return a client that is logged in as the worker.

    In a runner it speaks with the worker's session. Elsewhere it logs in with the
    user's name and password from the environment.

    Args:
        log: Where to say what is missing.
        client_type: ``"json"`` for parsed answers and errors that are raised,
            ``"response"`` for response objects.

    Raises:
        ValueError: Outside a runner, a variable is not set.
    """
    # Here and not above: the client brings requests with it, plugins may not need it.
    from dioptra_worker.sdk.client import client  # noqa: PLC0415

    running = spawned_children.attach()
    if running is not None:
        return client.connect_worker_client(running, client_type)
    needed = (USERNAME_VARIABLE, PASSWORD_VARIABLE, client.ADDRESS_VARIABLE)
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        message = (
            f"cannot log in as the worker: {', '.join(missing)} not set. Outside a "
            f"worker, a plugin needs {', '.join(needed)} in the environment"
        )
        log.error(message)
        raise ValueError(message)
    connected: DioptraClient[Any] = (
        client.connect_json_dioptra_client()
        if client_type == "json"
        else client.connect_response_dioptra_client()
    )
    username, password = (os.environ[name] for name in needed[:2])
    connected.auth.login(username=username, password=password)
    return connected
