"""The fork server's program: import what runners need, then serve its daemon."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.held_folder import make_held
from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.files.stale_workspaces import remove_stale
from dioptra_worker.common.files.workspace import owner_token
from dioptra_worker.common.garbage import uncollected
from dioptra_worker.common.processes import process_privacy
from dioptra_worker.common.processes.job_user import JobUser, become
from dioptra_worker.homes import import_path, link_downloads
from dioptra_worker.runner.forkserver import shared
from dioptra_worker.runner.forkserver.descriptors import open_descriptors
from dioptra_worker.runner.forkserver.process_makers import ForkingMaker, SpawningMaker
from dioptra_worker.runner.forkserver.server import Forkserver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.protocol.forkserver import PreloadedModule
    from dioptra_worker.runner.forkserver.process_makers import ProcessMaker

HOME = "dioptra-forkserver"
"""What the names of fork servers' folders begin with."""


def main() -> None:
    """Serve the daemon until it hangs up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    modes = ["fork", "spawn", "cold", "shared"]
    parser.add_argument("--mode", choices=modes, required=True)
    parser.add_argument("--preload", default="")
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--why", help="why runners are not forked")
    parser.add_argument("--user", type=JobUser.parse, help="who runners are")
    parser.add_argument("--own-user", action="store_true", help="we are that already")
    options = parser.parse_args()
    if options.user is not None:  # before anything is imported for jobs
        become(options.user, stay_able_to_change=options.mode == "shared")
    process_privacy.hide_memory()  # from jobs, which would change what later ones run
    # It ends with the daemon, not before. Ignored by a function, not the system: what
    # it starts would inherit that, and a runner told to stop while it imports not hear.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    with home_of_its_own() as held, socket.socket(fileno=options.fd) as sock:
        why: str | None = options.why
        preloaded: tuple[PreloadedModule, ...] = ()
        if options.mode in {"fork", "shared"}:
            why, preloaded = warm_up(options.preload, sock=sock)
        of_libraries = open_descriptors() - {sock.fileno(), held}
        if options.mode == "shared":
            shared.serve(
                sock,
                of_libraries,
                preload=options.preload,
                grace=options.grace,
                why=why,
                preloaded=preloaded,
            )
        else:
            maker: ProcessMaker
            if options.mode == "fork" and why is None:
                maker = ForkingMaker(of_libraries)
            else:
                maker = SpawningMaker(
                    options.preload, keep_standby=options.mode != "cold"
                )
            Forkserver(
                sock,
                maker,
                grace=options.grace,
                why=why,
                preloaded=preloaded,
                has_own_user=options.user is not None or options.own_user,
            ).serve()


@contextlib.contextmanager
def home_of_its_own() -> Iterator[int | None]:
    """Be where no job has been: what libraries read in a home is nobody's there.

    Yields:
        The descriptor that holds the folder, if there is one; no fork should have it.
    """
    parent = Path(tempfile.gettempdir())
    held = None
    try:
        remove_stale(parent, kind=HOME)
        home, held = make_held(parent, f"{HOME}-{owner_token(os.getpid())}-")
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


def warm_up(
    names: str, *, sock: socket.socket
) -> tuple[str | None, tuple[PreloadedModule, ...]]:
    """Import what runners need, for this process to be forked.

    Args:
        names: Modules to import beside our own, separated by commas.
        sock: The one socket that there may be.

    Returns:
        Why this process must not be forked, None when it may be; what that has cost.
    """
    from dioptra_worker.runner.forkserver import (  # noqa: PLC0415 - not if cold
        preload,
        randomness,
    )

    wanted = [name for name in names.split(",") if name]
    with uncollected():
        found = preload.preload(wanted, path=import_path(os.environ))
        why = preload.reason_not_to_fork(found.brought_by, ours={sock.fileno()})
        if why is None and wanted:  # what we import ourselves is covered: see its test
            why = randomness.shared(wanted)
    return why, tuple(found.costs)


if __name__ == "__main__":
    main()
