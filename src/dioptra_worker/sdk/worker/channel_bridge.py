"""The bridge of a job's process: what plugins ask of the platform, the worker hears."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dioptra_worker.protocol.messages import MAX_ELEMENT, MAX_ELEMENT_ERROR, Metric
from dioptra_worker.protocol.metric_rules import wire_value
from dioptra_worker.sdk.worker.bridge import JobContext, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.protocol.messages import (
        BatchElementState,
    )
    from dioptra_worker.sdk.worker.link import WorkerLink

SESSION_TIMEOUT = 120.0
"""Seconds that a plugin waits for a session while the API may be away."""


class ChannelBridge:
    """The plugin SDK's bridge to the platform, inside a process of a job.

    Attributes:
        job_id: The running job.
        store_metric: Writes a metric where no API does: its name, value and step.
        context: What the job was given, once its plan is there.
    """

    def __init__(self, channel: WorkerLink, *, job_id: int) -> None:
        self.job_id = job_id
        self.store_metric: Callable[[str, float, int], None] | None = None
        self.context = JobContext()
        self._channel = channel

    def set_element_state(
        self, element: str, state: str, *, error: str = "", last: bool = False
    ) -> str:
        """Claim an element of a batch, or say what became of it.

        Raises:
            ValueError: Its id is longer than one may be.
        """
        if len(element) > MAX_ELEMENT:
            raise ValueError(
                f"the id of a batch element has at most {MAX_ELEMENT:,} characters, and"
                f" {element[:40]!r}… has {len(element):,}"
            )
        return self._channel.set_element_state(
            element,
            cast("BatchElementState", state),
            error=error[:MAX_ELEMENT_ERROR],
            last=last,
        )

    def append_metric(self, name: str, value: float, step: int | None) -> None:
        """Put a metric into the daemon's outbox; NaN and infinities go as text."""
        self._channel.send(Metric(name=name, value=wire_value(value), step=step))
        if self.store_metric is not None:
            self.store_metric(name, float(value), step or 0)

    def session(self) -> Session:
        """The daemon's present session with the REST API."""
        return self._ask(renew=False)

    def renew(self) -> Session:
        """A fresh session, after the API refused the present one."""
        return self._ask(renew=True)

    def _ask(self, *, renew: bool) -> Session:
        answer = self._channel.session(renew=renew, timeout=SESSION_TIMEOUT)
        return Session(url=answer.url, cookies=answer.cookies)
