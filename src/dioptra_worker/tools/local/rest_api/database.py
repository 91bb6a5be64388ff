"""The REST API's database: an empty one at the newest revision."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from dioptra_worker.tools.local.environment import inherited
from dioptra_worker.tools.local.errors import PeerInstallFailed
from dioptra_worker.tools.local.services.commands import SERVERS, api_environment

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.local.rest_api.peer_environment import PeerEnvironment

_MIGRATION_TIMEOUT = 300.0


def make_database(python: Path, target: Path) -> None:
    """Make a database by running every migration of dioptra-platform.

    Args:
        python: The interpreter of an environment that has dioptra-platform.
        target: The file to make.

    Raises:
        PeerInstallFailed: The migrations did not run.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    environment = inherited() | api_environment(f"sqlite:///{draft}")
    # Else importing dioptra makes an MLflow database in the current folder.
    environment["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:1"
    answer = subprocess.run(
        [str(python), str(SERVERS / "migrate.py")],
        cwd=target.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_MIGRATION_TIMEOUT,
        check=False,
    )
    if answer.returncode != 0:
        draft.unlink(missing_ok=True)
        raise PeerInstallFailed(
            f"Could not make the REST API's database with {python}. Is "
            "dioptra-platform installed there? Its last lines:\n"
            + "\n".join(answer.stderr.splitlines()[-15:])
        )
    draft.replace(target)


def place_database(peer: PeerEnvironment, target: Path) -> None:
    """Put an empty database at `target` unless there is one.

    A copy of the template is as good as a database of one's own: it has no rows but
    the migrations' constants, and it was closed when it was put there.
    """
    if target.exists():
        return
    if peer.database is None:
        make_database(peer.python, target)
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(peer.database, draft)
    draft.chmod(0o600)
    draft.replace(target)
