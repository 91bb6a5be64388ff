"""A fresh process becomes a runner: its pipes, its signals, its randomness."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NoReturn

from dioptra_worker.common.processes import process_privacy
from dioptra_worker.runner import main
from dioptra_worker.runner.forkserver.randomness import fresh_seed, reseed

if TYPE_CHECKING:
    from collections.abc import Mapping


def become_runner(descriptors: list[int], environment: Mapping[str, str]) -> NoReturn:
    """Turn this fresh process into a runner.

    Args:
        descriptors: The socket to the daemon, standard output and standard error.
        environment: Variables of this runner, such as which GPUs it may see.
    """
    process_privacy.show_memory()  # a job's own tools may look at it
    os.environ.update(environment)
    control, out, err = descriptors
    os.set_inheritable(control, False)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target, inheritable=True)
        os.close(source)
    seed = fresh_seed()
    reseed(seed)
    try:
        main.main(socket.socket(fileno=control), seed=seed)
    except BaseException:  # noqa: BLE001 - the last line of defence: say it, end
        import traceback  # noqa: PLC0415 - needed this once

        os.write(2, traceback.format_exc().encode())
    os._exit(1)
