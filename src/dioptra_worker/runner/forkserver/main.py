"""The fork server's program: import what runners need, then serve its daemon."""

from __future__ import annotations

import argparse
import os
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from dioptra_worker.common.garbage import uncollected
from dioptra_worker.common.processes import process_privacy
from dioptra_worker.common.processes.job_user import JobUser, become
from dioptra_worker.homes import import_path
from dioptra_worker.runner.forkserver import shared
from dioptra_worker.runner.forkserver.children.process_makers import (
    ForkingMaker,
    SpawningMaker,
)
from dioptra_worker.runner.forkserver.descriptors import open_descriptors
from dioptra_worker.runner.forkserver.home import home_of_its_own
from dioptra_worker.runner.forkserver.server import Forkserver

if TYPE_CHECKING:
    from dioptra_worker.protocol.forkserver import PreloadedModule, StartLearned
    from dioptra_worker.runner.forkserver.children.process_makers import ProcessMaker


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
        learn = partial(learn_in_fork, grace=options.grace, preloaded=preloaded)
        if options.mode == "shared":
            shared.serve(
                sock,
                of_libraries,
                preload=options.preload,
                grace=options.grace,
                why=why,
                preloaded=preloaded,
                learn=learn,
            )
        else:
            maker: ProcessMaker
            has_own_user = options.user is not None or options.own_user
            if options.mode == "fork" and why is None:
                maker = ForkingMaker(
                    of_libraries, learn=partial(learn, has_own_user=has_own_user)
                )
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
                has_own_user=has_own_user,
            ).serve()


def learn_in_fork(
    descriptor: int,
    request: StartLearned,
    *,
    grace: float,
    preloaded: tuple[PreloadedModule, ...],
    has_own_user: bool,
) -> NoReturn:
    """Become a second fork server, in a fork; see `learned.start`."""
    from dioptra_worker.runner.forkserver import learned  # noqa: PLC0415 - only there

    learned.start(
        descriptor,
        request,
        grace=grace,
        preloaded=preloaded,
        has_own_user=has_own_user,
    )


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
    from dioptra_worker.runner.forkserver import preload  # noqa: PLC0415 - not if cold
    from dioptra_worker.runner.forkserver.children import (  # noqa: PLC0415 - likewise
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
