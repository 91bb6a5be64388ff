"""Decides whether jobs run as users of their own here, by trying it."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.files.workspace import lend, open_way
from dioptra_worker.common.processes.job_user import JobUser, missing_capabilities
from dioptra_worker.homes import (
    DOWNLOAD_DIR,
    downloads_to_miss,
    named_downloads,
    places_of_downloads,
    without_downloads,
)
from dioptra_worker.supervision.job_users import downloads
from dioptra_worker.supervision.job_users.assignment import (
    AUTOMATIC,
    COUNT,
    JobUsers,
    has_account,
    lock_folders,
)
from dioptra_worker.supervision.job_users.gpus import gpu_groups, reason_against_gpus
from dioptra_worker.supervision.job_users.needs import (
    OPEN_TO_WRITE,
    Need,
    needs_of_all_jobs,
    needs_of_gpus,
    needs_of_the_workers_user,
    within_our_rights,
)
from dioptra_worker.supervision.job_users.trial import first_problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

MOST_THREADS = 4096
"""How many threads and processes a job's user must be allowed; root may have any."""


@dataclass(frozen=True)
class Choice:
    """Who jobs run as.

    Attributes:
        users: Their users; None for the worker's own.
        reason: Why they have none of their own.
        is_surprise: Whether one would expect that they have.
    """

    users: JobUsers | None
    reason: str = ""
    is_surprise: bool = False


def choose_job_users(
    wanted: str,
    *,
    slots: int,
    work_dir: Path,
    environment: Mapping[str, str],
    private: Collection[Path] = (),
) -> Choice:
    """Decide who jobs run as.

    Args:
        wanted: ``auto``, ``none``, or the number of the first user. With a number,
            what jobs may have had as the worker's user alone is not looked at.
        slots: How many jobs run at a time.
        work_dir: Where jobs get their folders; it is there.
        environment: What runners see.
        private: Files and folders beside it that are the worker's alone.
    """
    if wanted == "none":
        return Choice(None, "DIOPTRA_WORKER_JOB_USERS is 'none'")
    missing = missing_capabilities()
    if missing:
        able = os.geteuid() == 0 or "CAP_SETUID" not in missing
        reason = (
            f"user {os.geteuid()} has not the rights to change users"
            f" ({', '.join(missing)} missing)"
        )
        return Choice(None, reason, is_surprise=able or wanted != "auto")
    numbers: Sequence[int] = AUTOMATIC
    if wanted != "auto":
        numbers = range(int(wanted), int(wanted) + COUNT)
    work_dir = work_dir.absolute()
    trial = _Trial(numbers, slots=slots, work_dir=work_dir, environment=environment)
    try:
        reason = trial.reason_against(
            [work_dir, *private] if wanted == "auto" else None
        )
    except OSError as error:
        reason = f"a folder cannot be handed over to another user: {error}"
    if reason:
        return Choice(None, reason, is_surprise=True)
    return Choice(
        JobUsers(
            trial.users,
            lock_folders(work_dir),
            groups=trial.groups,
            downloads=trial.downloads,
        )
    )


class _Trial:
    """Tries whether jobs can have users of their own.

    Attributes:
        users: Their numbers: all but the last, which is the group that they share.
        groups: Further groups of each.
        downloads: The folder for what they download.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        *,
        slots: int,
        work_dir: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.users, self._shared = numbers[:-1], numbers[-1]
        self.groups = (self._shared, *gpu_groups())
        self._ours = work_dir / f"downloads-{self._shared}"
        self.downloads = named_downloads(environment) or self._ours
        self._slots = slots
        self._work_dir = work_dir
        self._environment = environment

    def reason_against(self, private: Collection[Path] | None) -> str:
        """Why jobs cannot have them; nothing if they can.

        Args:
            private: What is the worker's alone, of what jobs may have had as the
                worker's user. None: it does not matter what they may have had.

        Raises:
            OSError: A folder cannot be given to another user.
        """
        if self._slots >= len(self.users):
            return (
                f"{self._slots} slots need more users than {len(self.users)}: name the"
                f" first of {COUNT} with DIOPTRA_WORKER_JOB_USERS"
            )
        first = self.users[0]
        if has_account(first):
            return f"user {first} has an account, and a job's must be nobody else's"
        if private is not None and (reason := next(self._losses(), "")):
            return reason
        needs = [*needs_of_all_jobs(self._environment)]
        mode = stat.S_IMODE(self._work_dir.stat().st_mode)
        reason = ""
        try:
            lock_folders(self._work_dir)
            open_way(self._work_dir)
            changed = self._downloads()
            if private is not None:
                needs += needs_of_gpus()
                changed += needs_of_the_workers_user(
                    without_downloads(self._environment),
                    private=[*private, self.downloads],
                )
            changed = [need for need in map(within_our_rights, changed) if need.rights]
            reason = self._reason_against_sharing(changed)
            reason = reason or self._try([*needs, *changed])
        finally:
            if reason or sys.exc_info()[0]:
                self._work_dir.chmod(mode)
                with contextlib.suppress(OSError):  # it holds something, or is not ours
                    self._ours.rmdir()
        return reason

    def _losses(self) -> Iterator[str]:
        """What jobs would miss that the worker's user has, beside rights on files."""
        if missed := downloads_to_miss(self._environment):
            yield (
                f"{missed} holds downloads that jobs' users could not use: name a"
                f" folder that others may write to as {DOWNLOAD_DIR}, and move them"
                " there"
            )
        if reason := reason_against_gpus():
            yield reason
        allowed = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        if allowed != resource.RLIM_INFINITY and allowed < MOST_THREADS:
            yield f"a user may have {allowed} processes and threads only (ulimit -u)"

    def _downloads(self) -> list[Need]:
        """What jobs need of the folder for downloads, once it is shared if it can be.

        Raises:
            OSError: It cannot be shared.
        """
        why, change = "which holds jobs' downloads", os.R_OK | os.W_OK | os.X_OK
        if downloads.share(self.downloads, self._shared):  # all may change it, or none
            return [Need(str(self.downloads), os.R_OK | os.X_OK, why)]
        folders = [self.downloads, *places_of_downloads(self.downloads)]
        return [Need(str(folder), change, why, OPEN_TO_WRITE) for folder in folders]

    def _reason_against_sharing(self, needs: Sequence[Need]) -> str:
        """Whether jobs of one slot would meet what those of another have written."""
        for need in needs:
            if self._slots > 1 and need.rights & os.W_OK:
                return (
                    f"the users of {self._slots} slots could not change each other's"
                    f" files in {need.path}, {need.why}"
                )
        return ""

    def _try(self, needs: Sequence[Need]) -> str:
        """Try what a job needs as its user; what fails, or nothing."""
        folder = Path(tempfile.mkdtemp(prefix="trial-", dir=self._work_dir)).resolve()
        user = JobUser(self.users[0], self.groups)
        try:
            lend(folder, user.uid)
            writable = [folder, Path(tempfile.gettempdir())]
            return first_problem(user, needs, folders=writable)
        finally:
            remove(folder)
