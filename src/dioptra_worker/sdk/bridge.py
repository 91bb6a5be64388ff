"""The bridge from plugin code to the worker that runs it.

A runner holds no password. What plugin code needs of the platform goes over the bridge:
metrics through the daemon's outbox, everything else with a session that the daemon has
opened and opens again when it has run out. Without a bridge (a script on a laptop) the
client logs in by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Session:
    """An open session with the REST API.

    Attributes:
        url: The API's address without ``/api/v1``, such as ``http://localhost:5000``.
        cookies: The session's cookies by name; never shown.
    """

    url: str
    cookies: Mapping[str, str] = field(repr=False)


class Bridge(Protocol):
    """What a runner offers to the plugin code in its process.

    Attributes:
        job_id: The job that this process runs.
    """

    job_id: int

    def append_metric(self, name: str, value: float, step: int | None) -> None:
        """Hand a metric of the running job to the daemon, which delivers it.

        Args:
            name: A name that the API accepts.
            value: Any float, also NaN and the infinities.
            step: Where in the series; None lets the API decide.
        """
        ...

    def session(self) -> Session:
        """Return the daemon's present session."""
        ...

    def renew(self) -> Session:
        """Return a new session, after the API has refused the present one (401)."""
        ...


_installed: Bridge | None = None


def install(bridge: Bridge | None) -> None:
    """Make a bridge the one of this process; None takes it away again."""
    global _installed  # noqa: PLW0603 - plugin code has no other way to be handed it
    _installed = bridge


def installed() -> Bridge | None:
    """Return the bridge of this process, or None outside a runner."""
    return _installed
