"""What can go wrong with a demo, besides what services and the stack say."""

from __future__ import annotations

from dioptra_worker.errors import WorkerError


class DemoFailed(WorkerError):
    """The demo cannot go on; the message says why."""
