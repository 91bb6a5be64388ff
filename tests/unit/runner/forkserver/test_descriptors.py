"""A fork keeps the open files that are meant for it, and no others."""

from __future__ import annotations

import os
import selectors
import socket

import pytest

from dioptra_worker.runner.forkserver.descriptors import (
    close_all_but,
    open_descriptors,
)


@pytest.mark.process
def test_a_fork_keeps_what_is_meant_for_it() -> None:
    """Sockets, pipes and what waits for them are closed, whoever opened them."""
    ours, theirs = socket.socketpair()
    reports, writer = os.pipe()
    with ours, theirs, selectors.DefaultSelector():
        pid = os.fork()
        if not pid:
            close_all_but({theirs.fileno(), writer})
            left = sorted(open_descriptors() - {theirs.fileno(), writer})
            os.write(writer, repr(left).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(writer)
        with open(reports) as file:  # noqa: PTH123 - a descriptor
            assert file.read() == "[]"
