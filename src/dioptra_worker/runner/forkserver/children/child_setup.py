"""A fresh process becomes a runner: its pipes, its signals, its randomness."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

from dioptra_worker.common.processes import process_privacy
from dioptra_worker.runner import main
from dioptra_worker.runner.forkserver.children.randomness import fresh_seed, reseed
from dioptra_worker.runner.forkserver.children.seeded_imports import SeededImports

if TYPE_CHECKING:
    from dioptra_worker.protocol.forkserver import StartRunner


def become_runner(descriptors: list[int], request: StartRunner) -> NoReturn:
    """Turn this fresh process into a runner.

    Args:
        descriptors: The socket to the daemon, standard output and standard error.
        request: Has variables of this runner, such as which GPUs it may see.
    """
    process_privacy.show_memory()  # a job's own tools may look at it
    os.environ.update(request.environment)
    control, out, err = descriptors
    os.set_inheritable(control, False)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target, inheritable=True)
        os.close(source)
    seed = request.seed
    if seed is None:
        seed = fresh_seed()
    else:
        sys.meta_path.insert(0, SeededImports(seed))
    reseed(seed)
    try:
        main.main(socket.socket(fileno=control), seed=seed)
    except BaseException:  # noqa: BLE001 - the last line of defence: say it, end
        import traceback  # noqa: PLC0415 - needed this once

        os.write(2, traceback.format_exc().encode())
    os._exit(1)
