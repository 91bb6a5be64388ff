"""What connects the daemon to a runner."""

from __future__ import annotations

import os
import socket

from dioptra_worker.supervision.forkserver.runner_process import RunnerPipes


def test_pipes_are_closed_once() -> None:
    """Closed again, they leave alone what has got their numbers meanwhile."""
    ours, theirs = socket.socketpair()
    out, out_there = os.pipe()
    err, err_there = os.pipe()
    pipes = RunnerPipes(control=ours, out=out, err=err)
    pipes.close()
    assert not theirs.recv(1)
    theirs.close()
    with os.fdopen(out_there, "wb"), os.fdopen(err_there, "wb"):
        anothers = {os.open(os.devnull, os.O_RDONLY) for _ in range(8)}
        assert {out, err} <= anothers
        pipes.close()
        for descriptor in anothers:
            os.close(descriptor)
