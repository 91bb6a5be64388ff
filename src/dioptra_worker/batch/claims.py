"""Claims elements and says what became of them; in a job, through the daemon."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dioptra_worker.sdk.worker.bridge import Bridge

log = logging.getLogger("dioptra_worker.batch")

ClaimOutcome = Literal["granted", "taken", "postponed"]


class ActivityState(enum.Enum):
    """Where an element stands; plugins know it by this name.

    Attributes:
        Queued: Nobody works on it.
        Started: A job has it.
        Processed: It is done.
        Error: A job has failed at it; another may try.
    """

    Queued = "queued"
    Started = "started"
    Processed = "processed"
    Error = "error"


class ElementClaims:
    """The claims of one run of a batch worker; records nothing without a bridge."""

    def __init__(self, bridge: Bridge | None) -> None:
        self._bridge = bridge

    def claim(self, element: str, *, last: bool) -> ClaimOutcome:
        """Claim an element; see `sdk.worker.bridge.Bridge.set_element_state`.

        Returns:
            ``granted`` to go on; ``taken`` when it is done or another job has it;
            ``postponed`` when a job was lost over it: ask again, with *last*, when
            all others are done.
        """
        if self._bridge is None:
            return "granted"
        outcome = self._bridge.set_element_state(element, "started", last=last)
        if outcome == "off":
            log.info("No activity is recorded: the job has no worker run.")
            self._bridge = None
            return "granted"
        if outcome in {"granted", "postponed"}:
            return "granted" if outcome == "granted" else "postponed"
        return "taken"

    def set_state(self, element: str, state: ActivityState, error: str = "") -> bool:
        """Say what became of an element; whether it still was ours."""
        if self._bridge is None:
            return True
        return (
            self._bridge.set_element_state(element, state.value, error=error) != "lost"
        )
