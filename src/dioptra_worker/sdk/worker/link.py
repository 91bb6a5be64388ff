"""What a process of a job tells and asks the worker, however it is connected to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from dioptra_worker.errors import RunnerError
from dioptra_worker.protocol.messages import (
    BatchClaimReply,
    BatchClaimRequest,
    BatchElementState,
    Message,
    SessionReply,
    SessionRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.protocol.messages import RunnerMessage

Reply = SessionReply | BatchClaimReply


class WorkerLink(ABC):
    """Tells, asks, and waits for the answers."""

    @abstractmethod
    def send(self, message: RunnerMessage) -> None:
        """Tell the worker something."""

    @abstractmethod
    def ask(
        self, request: Callable[[int], Message], timeout: float | None = None
    ) -> Reply | None:
        """Ask for something.

        Args:
            request: Makes the request from its number.
            timeout: Seconds to wait; None waits as long as the worker is there.

        Returns:
            The reply; None if there is none.
        """

    def session(self, *, renew: bool, timeout: float) -> SessionReply:
        """Ask for the worker's session with the REST API.

        Args:
            renew: Whether the present one was refused.
            timeout: Seconds to wait for the reply.

        Raises:
            RunnerError: If no reply came in time or the worker has no session.
        """
        reply = self.ask(lambda n: SessionRequest(request_id=n, renew=renew), timeout)
        if not isinstance(reply, SessionReply):
            raise RunnerError(
                f"the worker gave no API session within {timeout:g} seconds"
            )
        if reply.error:
            raise RunnerError(f"the worker has no API session: {reply.error}")
        return reply

    def set_element_state(
        self,
        element: str,
        state: BatchElementState,
        *,
        error: str = "",
        last: bool = False,
    ) -> str:
        """Claim an element of a batch, or say what became of it.

        Waits as long as the worker does; the job's time limit holds all the same.

        Returns:
            The outcome; see `BatchClaimReply`.

        Raises:
            RunnerError: If the worker is gone.
        """
        reply = self.ask(
            lambda n: BatchClaimRequest(
                request_id=n, element=element, state=state, error=error, last=last
            )
        )
        if not isinstance(reply, BatchClaimReply):
            raise RunnerError("the worker went away before it answered")
        return reply.outcome
