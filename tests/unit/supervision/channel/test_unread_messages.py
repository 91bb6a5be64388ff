"""What a runner does not read is kept within a limit, and nobody waits for it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.supervision.channel.unread_messages import UnreadMessages

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1 << 20


@pytest.fixture(name="ends")
def _ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(20)
        yield ours, theirs


def test_all_arrives_in_order_once_it_is_read(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """A message longer than any socket's buffer, and one after it, come whole."""
    ours, theirs = ends
    woken: list[None] = []
    unread = UnreadMessages(ours, limit=LIMIT)
    unread.on_waiting(lambda: woken.append(None))
    unread.put(b"x" * (8 << 20) + b"\n")
    assert woken
    assert unread
    received = bytearray()
    while unread:
        received += theirs.recv(1 << 16)
        unread.flush()
    unread.put(b"end\n")
    while not received.endswith(b"end\n"):
        received += theirs.recv(1 << 16)
    assert bytes(received) == b"x" * (8 << 20) + b"\nend\n"
    assert not unread.is_full


def test_more_than_the_limit_is_not_kept(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """Whoever never reads is remembered as full, with no more than the limit kept."""
    unread = UnreadMessages(ends[0], limit=LIMIT)
    for _ in range(10_000):
        unread.put(b"an answer that nobody reads" * 40 + b"\n")
    assert unread.is_full
    assert len(unread) <= LIMIT


def test_one_that_is_gone_is_no_error(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """What nobody can read any more is forgotten."""
    ours, theirs = ends
    unread = UnreadMessages(ours, limit=LIMIT)
    unread.put(b"x" * (8 << 20))
    theirs.close()
    unread.flush()
    unread.put(b"more")
    assert not unread
    unread.close()
    ours.close()
    unread.put(b"more")
    assert not unread
