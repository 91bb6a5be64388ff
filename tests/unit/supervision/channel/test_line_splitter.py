"""Lines are the same however bytes arrive; bars are collapsed, endless lines cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.supervision.channel.line_splitter import (
    MAX_LINE_BYTES,
    LineSplitter,
)

BYTES = st.lists(
    st.sampled_from([b"\n", b"\r", b"a", b"bc", b"\xc3", b"\x00"]), max_size=40
)
LIMITS = st.none() | st.integers(1, 6)


def _lines(chunks: list[bytes], limit: int | None) -> list[bytes]:
    assembler = LineSplitter(limit=limit)
    lines = [line for chunk in chunks for line in assembler.feed(chunk)]
    return [*lines, assembler.pop_rest()]


@given(BYTES, st.lists(st.integers(0, 60), max_size=8), LIMITS)
def test_chunks_do_not_matter(
    parts: list[bytes], cuts: list[int], limit: int | None
) -> None:
    """However bytes are cut into chunks, the lines are the same."""
    data = b"".join(parts)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    chunks = [data[a:b] for a, b in pairwise(places)]
    assert _lines(chunks, limit) == _lines([data], limit)


@given(BYTES)
def test_without_a_limit_nothing_is_lost(parts: list[bytes]) -> None:
    """Without a limit, the lines and the rest joined are what came in."""
    data = b"".join(parts)
    assert b"\n".join(_lines([data], None)) == data


@given(BYTES, st.integers(1, 6))
def test_no_line_is_longer_than_the_limit(parts: list[bytes], limit: int) -> None:
    """No line is longer than the limit, however long it goes on."""
    assert all(len(line) <= limit for line in _lines(parts, limit))


@given(st.binary(max_size=40).filter(lambda data: b"\r" not in data), st.integers(1, 6))
def test_a_cut_line_is_passed_on_whole(data: bytes, limit: int) -> None:
    """The pieces of a line that was cut are together what it was."""
    whole = data.replace(b"\n", b"")
    assert b"".join(_lines([whole], limit)) == whole


def test_a_line_is_cut_at_a_blank() -> None:
    """A word, which may be a secret, is not cut in two where a line is."""
    word = b"x" * 100
    line = word + b" "
    pieces = _lines([line * (3 * MAX_LINE_BYTES // len(line))], MAX_LINE_BYTES)
    assert len(pieces) == 4
    assert {len(set(piece.split(b" ")) - {word, b""}) for piece in pieces} == {0}


def test_only_the_last_state_of_a_bar_is_left() -> None:
    """A line that was overwritten by returning to its beginning is what it was last."""
    assembler = LineSplitter()
    assert assembler.feed(b"10%\r50%\r") == []
    assert assembler.feed(b"100%\r\ndone\r\n") == [b"100%", b"done"]
    assert assembler.pop_rest() == b""


def test_a_line_as_long_as_the_limit_is_one_line() -> None:
    """A line is cut only when it is longer than the limit."""
    assembler = LineSplitter()
    assert assembler.feed(b"x" * MAX_LINE_BYTES) == []
    assert assembler.feed(b"\n") == [b"x" * MAX_LINE_BYTES]
    assert assembler.feed(b"y" * (MAX_LINE_BYTES + 1)) == [b"y" * MAX_LINE_BYTES]
    assert assembler.pop_rest() == b"y"


def test_rest_is_taken_out() -> None:
    """The rest is given once."""
    assembler = LineSplitter()
    assembler.feed(b"no end")
    assert assembler.pop_rest() == b"no end"
    assert assembler.pop_rest() == b""
