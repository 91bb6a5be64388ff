"""Decides whether jobs run as users of their own here, by trying it."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.files.workspace import lend, open_way
from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.processes.job_user import JobUser, missing_capabilities
from dioptra_worker.supervision.job_users.assignment import (
    AUTOMATIC,
    COUNT,
    JobUsers,
    gpu_groups,
    has_account,
    lock_folder,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRIAL_TIMEOUT = 30.0
"""Seconds that the trial may take; it starts Python once."""


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
    wanted: str, *, slots: int, work_dir: Path, environment: Mapping[str, str]
) -> Choice:
    """Decide who jobs run as.

    Args:
        wanted: ``auto``, ``none``, or the number of the first user.
        slots: How many jobs run at a time.
        work_dir: Where jobs get their folders; it is there.
        environment: What runners see.
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
    reason = _reason_against(numbers, slots, work_dir, environment)
    if reason:
        return Choice(None, reason, is_surprise=True)
    locks = lock_folder(work_dir / "users")
    return Choice(JobUsers(numbers, locks, groups=gpu_groups()))


def _reason_against(
    numbers: Sequence[int], slots: int, work_dir: Path, environment: Mapping[str, str]
) -> str:
    if slots >= len(numbers):
        return (
            f"{slots} slots need more users than {len(numbers)}: name the first of"
            f" {COUNT} with DIOPTRA_WORKER_JOB_USERS"
        )
    if has_account(numbers[0]):
        return f"user {numbers[0]} has an account, and a job's must be nobody else's"
    mode = stat.S_IMODE(work_dir.stat().st_mode)
    try:
        lock_folder(work_dir / "users")
        open_way(work_dir)
        reason = _try(JobUser(numbers[0], gpu_groups()), work_dir, environment)
    except OSError as error:
        reason = f"a folder cannot be handed over to another user: {error}"
    if reason:
        work_dir.chmod(mode)
    return reason


def _try(user: JobUser, work_dir: Path, environment: Mapping[str, str]) -> str:
    """Try what a job needs as this user; what fails, or nothing."""
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=work_dir)).resolve()
    try:
        lend(folder, user.uid)
        done = subprocess.run(
            [
                *(*python(), "-m", "dioptra_worker.supervision.job_users.trial"),
                *(str(user), str(folder)),
            ],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRIAL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"to try it took longer than {TRIAL_TIMEOUT:.0f} s"
    finally:
        remove(folder)
    words = done.stdout.strip()
    if done.returncode and not words:
        words = (done.stderr.strip().splitlines() or ["without a word"])[-1]
    return words
