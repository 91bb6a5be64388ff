"""Whether a job failed for what its own user may not do, and what to do about it."""

from __future__ import annotations

_SIGNS = (
    *("PermissionError", "Permission denied", "Operation not permitted"),
    "site-packages is not writeable",  # pip, which then installs elsewhere
    "dubious ownership",  # git, of a repository of somebody else's
    "No user exists for uid",  # ssh
    "getpwuid(): uid not found",  # Python, of a user without an account
)


def tells_of_missing_rights(text: str) -> bool:
    """Whether a line is what programs say where they may not do something."""
    return any(sign in text for sign in _SIGNS)


def advice(uid: int) -> str:
    """What may be the reason, and the way out.

    Args:
        uid: The job's user.
    """
    return (
        f"the job ran as user {uid}, not as the worker's own, and something was refused"
        " to it: open that file or folder to others, or have the worker run jobs as its"
        " own user with DIOPTRA_WORKER_JOB_USERS=none"
    )
