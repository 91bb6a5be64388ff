"""The REST API's database: an empty one at the newest revision."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from dioptra_worker.tools.local.environment import inherited
from dioptra_worker.tools.local.errors import PeerInstallFailed
from dioptra_worker.tools.local.services.commands import SERVERS, api_environment

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.local.rest_api.peer_environment import PeerEnvironment

_MIGRATION_TIMEOUT = 300.0
_POLL_INTERVAL = 0.2


def make_database(
    python: Path, target: Path, given_up: threading.Event | None = None
) -> None:
    """Make a database by running every migration of dioptra-platform.

    Args:
        python: The interpreter of an environment that has dioptra-platform.
        target: The file to make.
        given_up: Set when nobody wants it any more.

    Raises:
        PeerInstallFailed: The migrations did not run.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    environment = inherited() | api_environment(f"sqlite:///{draft}")
    # Else importing dioptra makes an MLflow database in the current folder.
    environment["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:1"
    migrating = subprocess.Popen(
        [str(python), str(SERVERS / "migrate.py")],
        cwd=target.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    said = _said_by(migrating, given_up or threading.Event())
    if migrating.returncode != 0:
        draft.unlink(missing_ok=True)
        raise PeerInstallFailed(
            f"Could not make the REST API's database with {python}. Is "
            "dioptra-platform installed there? Its last lines:\n"
            + "\n".join(said.splitlines()[-15:])
        )
    draft.replace(target)


def _said_by(process: subprocess.Popen[str], given_up: threading.Event) -> str:
    """Wait for the end of a process; kill it when that takes too long for us."""
    until = time.monotonic() + _MIGRATION_TIMEOUT
    with process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.communicate(timeout=_POLL_INTERVAL)[1]
                if given_up.is_set() or time.monotonic() > until:
                    process.kill()
        except BaseException:
            process.kill()
            raise


def place_database(
    peer: PeerEnvironment, target: Path, given_up: threading.Event | None = None
) -> None:
    """Put an empty database at `target` unless there is one.

    A copy of the template is as good as a database of one's own: it has no rows but
    the migrations' constants, and it was closed when it was put there.

    Args:
        peer: The environment that has dioptra-platform, and perhaps the template.
        target: Where to put it.
        given_up: Set when nobody wants it any more.
    """
    if target.exists():
        return
    if peer.database is None:
        make_database(peer.python, target, given_up)
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(peer.database, draft)
    draft.chmod(0o600)
    draft.replace(target)
