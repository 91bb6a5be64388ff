"""The folder that a fork server lives in: no job has been there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.held_folder import make_held
from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.files.stale_workspaces import (
    FORKSERVER_HOME,
    remove_forkserver_homes,
)
from dioptra_worker.common.files.workspace import owner_token
from dioptra_worker.homes import link_downloads

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def home_of_its_own() -> Iterator[int | None]:
    """Be where no job has been: what libraries read in a home is nobody's there.

    Yields:
        The descriptor that holds the folder, if there is one; no fork should have it.
    """
    parent = Path(tempfile.gettempdir())
    held = None
    try:
        remove_forkserver_homes()
        prefix = f"{FORKSERVER_HOME}-{owner_token(os.getpid())}-"
        home, held = make_held(parent, prefix)
        home.chmod(0o711)  # forks may be other users
        link_downloads(home, os.environ)
    except OSError:  # no disk has room: imports do not need any
        home = Path("/")
    os.chdir(home)
    os.environ["HOME"] = str(home)
    try:
        yield held
    finally:  # where what was forked does not come
        os.chdir("/")
        if home != Path("/"):
            remove(home)
        if held is not None:
            os.close(held)
