"""Whether a daemon is alive, and whether it can take jobs; each "no" in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.daemon.health.snapshot import NEEDED

if TYPE_CHECKING:
    from dioptra_worker.daemon.health.snapshot import Snapshot

MAX_SILENCE = 90.0
"""Seconds for which a service's last answer counts; idle, each is asked far sooner."""

_STUCK = "the main loop is stuck"
_PHASES = {
    "starting": "the worker is starting: it is not logged in and registered yet",
    "ending": "the worker is shutting down",
}


def why_not_alive(health: Snapshot) -> list[str]:
    """What speaks against the daemon being alive; no service has a say in it."""
    return [] if health.alive else [_STUCK]


def why_not_ready(health: Snapshot) -> list[str]:
    """What keeps the daemon from taking a job.

    It is ready when it is alive, logged in and registered, and each service that it
    needs has answered lately.
    """
    reasons = why_not_alive(health)
    if health.phase in _PHASES:
        reasons.append(_PHASES[health.phase])
    if health.trouble:
        reasons.append(f"jobs cannot be prepared here: {health.trouble}")
    away = [service for service in health.waiting_for if service in NEEDED]
    reasons += [f"{service} does not answer" for service in away]
    for service in NEEDED:
        contact = health.contacts.get(service)
        if contact is None or contact.away_since is not None:
            continue
        silent = health.now - (contact.answered or 0.0)
        if silent > MAX_SILENCE:
            reasons.append(f"{service} has not been heard of for {silent:.0f} s")
    return reasons
