"""The bridge from plugin code to the worker that runs it.

A runner holds no password. What plugin code needs of the platform goes over the bridge:
metrics through the daemon's outbox, everything else with a session that the daemon has
opened and opens again when it has run out. Without a bridge (a script on a laptop) the
client logs in by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Session:
    """An open session with the REST API.

    Attributes:
        url: The API's address without ``/api/v1``, such as ``http://localhost:5000``.
        cookies: The session's cookies by name; never shown.
    """

    url: str
    cookies: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class InputFolder:
    """An input artifact of the running job, on disk.

    Attributes:
        artifact_id: The API's id of the artifact.
        path: Its file or folder.
    """

    artifact_id: int
    path: Path


@dataclass(frozen=True)
class JobContext:
    """What the running job was given.

    Attributes:
        parameters: The typed values of the entrypoint's parameters, by name.
        defaults: Their typed defaults, by name; None for one without.
        inputs: The input artifacts by name.
        worker_run: The worker run that the job belongs to, or empty.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, InputFolder] = field(default_factory=dict)
    worker_run: str = ""


class Bridge(Protocol):
    """What a runner offers to the plugin code in its process.

    Attributes:
        job_id: The job that this process runs.
        context: What the job was given, once that is known.
    """

    job_id: int
    context: JobContext

    def set_element_state(
        self, element: str, state: str, *, error: str = "", last: bool = False
    ) -> str:
        """Claim an element of a batch, or say what became of it.

        Args:
            element: The element's id.
            state: ``started`` to claim it, then ``processed``, ``error`` or ``queued``.
            error: Why it failed.
            last: Whether to claim also an element under which a job was lost before.

        Returns:
            ``granted``, ``held``, ``processed``, ``postponed``, ``settled``, ``lost``;
            ``off`` when nothing is recorded.
        """
        ...

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
