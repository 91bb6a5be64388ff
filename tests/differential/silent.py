"""Where our engine tells its steps, and nobody listens."""

from __future__ import annotations


class Silent:
    """An observer that hears nothing."""

    def step_started(self, step: str, task: str, index: int, total: int) -> None:
        """Ignore it."""

    def step_finished(self, step: str, seconds: float) -> None:
        """Ignore it."""

    def warning(self, message: str) -> None:
        """Ignore it."""
