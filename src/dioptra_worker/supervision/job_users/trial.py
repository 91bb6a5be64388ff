"""Tries, as another user, what a job needs; the first thing that fails is printed.

A program of its own, since there is no way back from being another user.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.job_user import JobUser, become

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = (
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
    *("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "SSL_CERT_DIR"),
)
"""Variables that name files which a job's libraries read."""


def main() -> None:
    """Become the user of the first argument, and use the folder of the second."""
    user, folder = JobUser.parse(sys.argv[1]), Path(sys.argv[2])
    needed = list(_needed())  # looked for while everything can be seen
    try:
        become(user)
    except OSError as error:
        print(f"the system does not let the worker become user {user.uid}: {error}")  # noqa: T201
        return
    print(_first_problem(user, folder, needed))  # noqa: T201


def _first_problem(user: JobUser, folder: Path, needed: list[tuple[Path, int]]) -> str:
    for path, rights in needed:
        if not os.access(path, rights):
            return (
                f"user {user.uid} cannot read {path}, which jobs need: let others read"
                f" it and enter each folder above it"
            )
    for writable in (folder, Path(tempfile.gettempdir())):
        try:
            tempfile.TemporaryFile(dir=writable).close()
        except OSError as error:
            return f"user {user.uid} cannot write to {writable}: {error.strerror}"
    return ""


def _needed() -> Iterator[tuple[Path, int]]:
    """What a job's process reads: Python, all that is installed, files named to it."""
    yield Path(sys.executable).resolve(), os.R_OK | os.X_OK
    yield Path(sys.executable), os.R_OK | os.X_OK
    for place in map(Path, sys.path):
        if place.is_dir():
            yield place, os.R_OK | os.X_OK
            for entry in place.iterdir():
                yield entry, os.R_OK | (os.X_OK if entry.is_dir() else 0)
        elif place.exists():
            yield place, os.R_OK
    for name in FILES:
        path = os.environ.get(name)
        if path and Path(path).exists():
            yield Path(path), os.R_OK
    credentials = Path.home() / ".aws" / "credentials"
    if "AWS_ACCESS_KEY_ID" not in os.environ and credentials.exists():
        yield credentials, os.R_OK


if __name__ == "__main__":
    main()
