"""A program that has imported all commands, and forks for each that is to be run.

So a table of hundreds of command lines takes seconds, and each ends as a process does:
its signals, its standard streams and the end of its interpreter are its own.
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_READER, CLOSED = "a pipe that nobody reads", "closed"
"""What standard output may be, besides a file."""


def leaves(
    command: click.Command = main, *words: str
) -> Iterator[tuple[str, click.Command]]:
    """Every command below one, by the words that call it."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield " ".join(words), command
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from leaves(below, *words, name)


def serve(sock: socket.socket) -> None:
    """Fork for each request; the fork leaves as a program that is about to begin."""
    list(leaves())  # imports them
    gc.freeze()
    with sock.makefile("rw", encoding="utf-8") as talk:
        for line in talk:
            request: dict[str, Any] = json.loads(line)
            if "wait" in request:
                answer = _wait(**request)
            else:
                pid = os.fork()
                if not pid:
                    sock.close()
                    _become(**request)
                    return
                answer = pid
            print(answer, file=talk, flush=True)
    os._exit(0)


def _wait(wait: int, timeout: float) -> int:
    """The exit code of a fork; it is killed if it takes too long."""
    deadline = time.monotonic() + timeout
    while True:
        pid, status = os.waitpid(wait, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(wait, signal.SIGKILL)
        time.sleep(0.005)


def _become(
    words: list[str], environment: dict[str, str], cwd: str, stdout: str, stderr: str
) -> None:
    """Be the program, as a shell has started it."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT, 0o600), 2)
    if stdout == NO_READER:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
        os.close(writer)
    elif stdout == CLOSED:
        os.close(1)
    else:
        os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT, 0o600), 1)
    sys.stdin, sys.stdout, sys.stderr = (
        # As Python makes them at its start; None is what it has for a closed one.
        None if number == 1 and stdout == CLOSED else _stream(number, mode)
        for number, mode in enumerate("rww")
    )
    sys.argv = ["dioptra-worker", *words]


def _stream(number: int, mode: str) -> Any:
    raw = open(number, f"{mode}b", closefd=False)  # noqa: SIM115 - it stays open
    return io.TextIOWrapper(
        raw,
        encoding="utf-8",
        errors="backslashreplace" if number == 2 else "strict",
        line_buffering=number == 2,
    )


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    main(prog_name="dioptra-worker")
