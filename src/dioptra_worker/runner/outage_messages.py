"""What a runner says while it waits for a service: in its log, and to the daemon."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypedDict

from dioptra_worker.protocol.messages import ServiceState

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.protocol.messages import RunnerMessage

log = logging.getLogger("dioptra_worker")


class OutageCallbacks(TypedDict):
    """Two arguments of `common.network.backoff.retry_until_available`."""

    on_wait: Callable[[ServiceUnavailable], None]
    on_back: Callable[[ServiceUnavailable, float], None]


def outage_callbacks(
    service: str, send: Callable[[RunnerMessage], object]
) -> OutageCallbacks:
    """Say when waiting for a service begins, and when it is over.

    Args:
        service: What people call it.
        send: Tells the daemon, whose health shows it.
    """

    def on_wait(error: ServiceUnavailable) -> None:
        log.warning("waiting for %s: %s", service, error)
        send(ServiceState(service=service, away=True))

    def on_back(_error: ServiceUnavailable, seconds: float) -> None:
        log.info("%s is back after %.0f s", service, seconds)
        send(ServiceState(service=service, away=False))

    return OutageCallbacks(on_wait=on_wait, on_back=on_back)
