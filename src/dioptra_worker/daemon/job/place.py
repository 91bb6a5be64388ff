"""Where a job runs: its folders, and what its user had elsewhere before it began."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dioptra_worker.common.files.workspace import workspace
from dioptra_worker.supervision.job_users.left_files import LeftFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.common.files.workspace import Workspace
    from dioptra_worker.daemon.job.context import AttemptContext


class JobPlace:
    """Where a job runs.

    Attributes:
        space: The job's folders.
        left_files: Finds what the job has left, where it has a user of its own.
    """

    def __init__(self, space: Workspace, *, is_shared: bool) -> None:
        """Look at what is there before the job begins.

        Args:
            space: The job's folders.
            is_shared: Whether other processes of the job's user make files meanwhile.
        """
        self.space = space
        self._is_shared = is_shared
        self.left_files = self._look_for_files()

    def suit(self, user: int | None) -> None:
        """Have the place be that of a process, whose user may be another than before.

        Raises:
            OSError: If that cannot be.
        """
        if user != self.space.user:  # its fork server is not that of before
            self.space.change_user(user)
            self.left_files = self._look_for_files()

    def _look_for_files(self) -> LeftFiles | None:
        user = self.space.user
        return None if user is None or self._is_shared else LeftFiles(user)


@contextlib.contextmanager
def job_place(
    job_id: int, context: AttemptContext, *, user: int | None
) -> Iterator[JobPlace]:
    """Make a job's place, and remove its folders at the end.

    Args:
        job_id: The job.
        context: Says where its folders lie.
        user: The number of the user that it runs as; None for our own.

    Raises:
        UntrustedFolder: Somebody else could change what is there.
        OSError: The folders cannot be made.
    """
    settings = context.settings
    with workspace(settings.work_dir, job_id, user=user) as space:
        # A spawned standby imports for the next job meanwhile, as the same user.
        yield JobPlace(space, is_shared=settings.isolation == "spawn")
