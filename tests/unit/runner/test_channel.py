"""The runner's end of the socket, against a real socket with the daemon's end here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.errors import RunnerError
from dioptra_worker.protocol.codec import decode, encode, split_time
from dioptra_worker.protocol.messages import (
    Log,
    Plan,
    SessionReply,
    SessionRequest,
    StepEnded,
)
from dioptra_worker.runner.channel import Channel, move_to_high_descriptor
from dioptra_worker.sdk.worker.channel_bridge import ChannelBridge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.protocol.messages import Message

PLAN = Plan(
    job_id=7,
    entrypoint="train",
    config={"big": "x" * 300_000},
    parameters={},
    artifact_tasks=(),
    inputs=(),
    plugins="/p",
    artifact_plugins="/a",
)


class Daemon:
    """The daemon's end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")

    def hear(self) -> Message:
        """The next message from the runner."""
        return decode(split_time(self._file.readline())[1])

    def say(self, message: Message) -> None:
        """Tell the runner something."""
        self.sock.sendall(encode(message))

    def hang_up(self) -> None:
        """Go away."""
        self._file.close()
        self.sock.close()


@contextmanager
def _talking(
    cut_off: threading.Event | None = None,
) -> Iterator[tuple[Channel, Daemon, threading.Event]]:
    ours, theirs = socket.socketpair()
    gone, cut_off = threading.Event(), cut_off or threading.Event()
    daemon = Daemon(ours)
    channel = Channel(theirs, on_disconnect=gone.set, on_socket_closed=cut_off.set)
    try:
        yield channel, daemon, gone
    finally:
        daemon.hang_up()
        assert gone.wait(5)
        theirs.close()


def _log(text: str) -> Log:
    return Log(severity="INFO", logger="l", message=text)


def test_messages_arrive_whole_from_many_threads() -> None:
    """Messages of several threads do not get into each other, however large."""
    with _talking() as (channel, daemon, _):
        texts = [str(number) * 100_000 for number in range(8)]
        threads = [
            threading.Thread(target=channel.send, args=[_log(text)]) for text in texts
        ]
        for thread in threads:
            thread.start()
        arrived = [daemon.hear() for _ in threads]
        for thread in threads:
            thread.join()
        assert sorted(arrived, key=repr) == [_log(text) for text in texts]


def test_plan_arrives() -> None:
    """A plan larger than the socket's buffer arrives whole."""
    with _talking() as (channel, daemon, _):
        daemon.say(PLAN)
        assert channel.plan() == PLAN


def test_no_plan_comes_any_more() -> None:
    """Whoever waits for a plan is told when the daemon goes away."""
    with _talking() as (channel, daemon, gone):
        daemon.hang_up()
        with pytest.raises(RunnerError, match="went away"):
            channel.plan()
        assert gone.wait(5)


def test_speaking_to_a_daemon_that_is_gone() -> None:
    """Telling a daemon that is gone something is no error for who tells it."""
    with _talking() as (channel, daemon, gone):
        daemon.hang_up()
        assert gone.wait(5)
        channel.send(_log("anybody there?"))


def test_a_session_is_asked_for_and_answered() -> None:
    """Each answer goes to who asked, also when answers come in another order."""
    with _talking() as (channel, daemon, _):
        got: dict[bool, SessionReply] = {}

        def ask(renew: bool) -> None:
            got[renew] = channel.session(renew=renew, timeout=5)

        threads = [
            threading.Thread(target=ask, args=[renew]) for renew in (False, True)
        ]
        for thread in threads:
            thread.start()
        requests = [daemon.hear() for _ in threads]
        for request in reversed(requests):
            assert isinstance(request, SessionRequest)
            cookies = {"renewed": str(request.renew)}
            daemon.say(
                SessionReply(request_id=request.request_id, url="u", cookies=cookies)
            )
        for thread in threads:
            thread.join()
        assert got[False].cookies == {"renewed": "False"}
        assert got[True].cookies == {"renewed": "True"}


def test_a_session_that_cannot_be_had() -> None:
    """The daemon's trouble is told to the plugin that wanted the session."""
    with _talking() as (channel, daemon, _):
        answer = SessionReply(
            request_id=1, url="u", cookies={}, error="the API is away"
        )
        daemon.say(answer)  # before the request: nobody waits for it

        def reply() -> None:
            daemon.hear()
            daemon.say(answer)

        threading.Thread(target=reply).start()
        with pytest.raises(RunnerError, match="no API session: the API is away"):
            channel.session(renew=False, timeout=5)


def test_a_session_that_never_comes() -> None:
    """A plugin does not wait for ever, and a late answer does no harm."""
    with _talking() as (channel, daemon, gone):
        with pytest.raises(RunnerError, match=r"within 0\.01 seconds"):
            channel.session(renew=False, timeout=0.01)
        daemon.say(SessionReply(request_id=1, url="u", cookies={}))
        daemon.say(PLAN)
        assert channel.plan() == PLAN
        assert not gone.is_set()


@pytest.mark.parametrize(
    ("value", "sent"),
    [(0.5, 0.5), (1, 1.0), (float("nan"), "nan"), (float("-inf"), "-inf")],
)
def test_metrics_of_plugins(value: float, sent: float | str) -> None:
    """A plugin's metric goes to the daemon; what JSON has no number for as text."""
    with _talking() as (channel, daemon, _):
        ChannelBridge(channel, job_id=7).append_metric("loss", value, 3)
        arrived = daemon.hear()
        assert (arrived.name, arrived.value, arrived.step) == (  # type: ignore[union-attr]
            ("loss", sent, 3)
        )


STOPPED_WHILE_SPEAKING = """
import signal, socket, sys, threading
from dioptra_worker.protocol.messages import Log, StepEnded
from dioptra_worker.runner.channel import Channel

class Stopped(BaseException):
    pass

def stop(*_):
    raise Stopped

signal.signal(signal.SIGTERM, stop)
sock = socket.socket(fileno=int(sys.argv[1]))
channel = Channel(sock, on_disconnect=lambda: None, on_socket_closed=lambda: None)
channel.send(Log(severity="INFO", logger="l", message="ready"))
try:
    channel.send(Log(severity="INFO", logger="l", message="x" * 5_000_000))
except Stopped:
    channel.send(StepEnded(step="last word", seconds=1.0))
"""


@pytest.mark.process
def test_a_stop_while_speaking_costs_one_message() -> None:
    """A stop signal in the middle of a message leaves the next one whole."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", STOPPED_WHILE_SPEAKING, str(theirs.fileno())]
        child = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        with ours.makefile("rb") as lines:
            assert decode(split_time(lines.readline())[1]) == _log("ready")
            assert ours.recv(1000, socket.MSG_PEEK)  # it speaks, and is blocked
            child.send_signal(signal.SIGTERM)
            assert b'{"is":"Log"' in lines.readline()[:40]
            last = decode(split_time(lines.readline())[1])
            assert last == StepEnded(step="last word", seconds=1.0)
        assert child.wait(10) == 0


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_no_part_in_the_socket() -> None:
    """A child that nobody takes writes to its pipe, though a thread was speaking."""
    with _talking() as (channel, daemon, _):
        reader, writer = os.pipe()
        channel._send_lock.acquire()
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            os.dup2(writer, 2)
            channel.send(_log("from the child"))
            os._exit(channel._sock.fileno() != -1)
        channel._send_lock.release()
        os.close(writer)
        with os.fdopen(reader) as said:
            assert said.read() == "from the child\n"
        assert os.waitpid(pid, 0)[1] == 0
        channel.send(_log("from the parent"))
        assert daemon.hear() == _log("from the parent")


def test_a_closed_socket_is_noticed() -> None:
    """When user code has closed our socket, the next message tells."""
    cut_off = threading.Event()
    with _talking(cut_off) as (channel, daemon, gone):
        os.close(channel._sock.detach())
        assert not cut_off.is_set()
        channel.send(_log("nobody hears this"))
        assert cut_off.is_set()
        daemon.hang_up()
        assert gone.wait(60)


def test_a_daemon_that_is_gone_is_no_closed_socket() -> None:
    """Speaking to a daemon that is gone changes nothing: the reading thread ends us."""
    cut_off = threading.Event()
    with _talking(cut_off) as (channel, daemon, gone):
        daemon.hang_up()
        assert gone.wait(60)
        channel.send(_log("nobody hears this"))
        assert not cut_off.is_set()


def test_a_socket_is_moved_out_of_reach() -> None:
    """Code that closes the first hundred descriptors does not meet our socket."""
    ours, theirs = socket.socketpair()
    with ours, move_to_high_descriptor(theirs) as moved:
        assert theirs.fileno() == -1
        assert moved.fileno() >= 100
        assert not moved.get_inheritable()
        moved.sendall(b"still connected")
        assert ours.recv(100) == b"still connected"


@pytest.mark.process
def test_few_descriptors_are_enough() -> None:
    """Where no descriptor may be high, a runner has its channel all the same."""
    program = (
        "import resource, socket\n"
        "from dioptra_worker.runner.channel import Channel, move_to_high_descriptor\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "ours, theirs = socket.socketpair()\n"
        "channel = Channel(move_to_high_descriptor(theirs),"
        " on_disconnect=lambda: None, on_socket_closed=lambda: None)\n"
        "print('there')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "there\n", done.stderr


def test_what_is_no_message_ends_the_job() -> None:
    """A plan that cannot be read is no plan: who waits for it is told."""
    with _talking() as (channel, daemon, gone):
        daemon.sock.sendall(b'{"is": "Plan", "job_id": "seven"}\n')
        assert gone.wait(60)
        with pytest.raises(RunnerError):
            channel.plan()
