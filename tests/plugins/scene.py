"""A worker that tests mistreat one after the other, and what must hold after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import wait_until_gone

if TYPE_CHECKING:
    from tests.plugins.testbed import Platform
    from tests.plugins.worker_process import WorkerProcess

PROBE = """
@pyplugs.register
def probe():
    print("probed")
"""


class Scene:
    """One worker and one queue that nobody else uses."""

    def __init__(
        self, platform: Platform, daemon: WorkerProcess, *, standby: bool = False
    ) -> None:
        """Look on.

        Args:
            platform: Where jobs are submitted.
            daemon: The worker.
            standby: Whether it keeps a process in reserve, beside the fork server.
        """
        self.platform = platform
        self.daemon = daemon
        self._standing = 2 if standby else 1
        self._probe = platform.entrypoint(PROBE, {"probing": {"probe": []}})

    def assert_clean(self) -> None:
        """Nothing of a job is left, the worker lives, and the next job runs."""
        assert self.daemon.process.poll() is None, self.daemon.log
        job = self.platform.run(self._probe, seconds=PATIENCE)
        assert "probed" in self.platform.text(job)
        until(lambda: not self._folders(), says=lambda: str(self._folders()))
        until(
            lambda: len(self.daemon.descendants()) <= self._standing,
            says=lambda: str(self.daemon.descendants()),
        )

    def _folders(self) -> list[str]:
        return [str(path) for path in self.daemon.work_dir.glob("job-*")]


def assert_gone(pids: set[int]) -> None:
    """Processes have ended, or do so soon."""
    assert wait_until_gone(pids, seconds=PATIENCE) == set()
