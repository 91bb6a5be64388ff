"""A standby: imports what runners need, waits for its sockets, then runs one job."""

from __future__ import annotations

import argparse
import os
import socket

from dioptra_worker.common.garbage import uncollected
from dioptra_worker.common.processes import process_privacy
from dioptra_worker.homes import import_path
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.forkserver import StartRunner
from dioptra_worker.runner.forkserver.children.child_setup import become_runner
from dioptra_worker.runner.forkserver.preload import preload

_READ_SIZE = 1 << 16


def main() -> None:
    """Wait for a job; without one, end with the fork server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--preload", default="")
    options = parser.parse_args()
    process_privacy.hide_memory()  # from the job that runs while this one waits
    wanted = [name for name in options.preload.split(",") if name]
    with uncollected():
        preload(wanted, path=import_path(os.environ))
    with socket.socket(fileno=options.fd) as waiting:
        line, descriptors, _, _ = socket.recv_fds(
            waiting, _READ_SIZE, StartRunner.descriptors
        )
        while line and not line.endswith(b"\n"):
            line += waiting.recv(_READ_SIZE)
    if not descriptors:
        os._exit(0)  # the fork server ended and no job came
    request = codec.decode_request(line)
    if not isinstance(request, StartRunner):
        raise TypeError(f"a standby becomes a runner, and no other: {request}")
    become_runner(descriptors, request)


if __name__ == "__main__":
    main()
