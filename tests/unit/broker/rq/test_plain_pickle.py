"""Plain values are read as `pickle` reads them, all else is refused, and quickly."""

from __future__ import annotations

import contextlib
import datetime as dt
import pickle
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.broker.rq.plain_pickle import MAX_PICKLE_BYTES, NotPlain, loads

PROTOCOLS = range(6)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**120), 2**120)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.dictionaries(st.text(max_size=10), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(value=PLAIN, protocol=st.sampled_from([3, 4, 5]))
def test_plain_values_are_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    """Whatever is plain comes back as it was."""
    data = pickle.dumps(value, protocol=protocol)
    if len(data) <= MAX_PICKLE_BYTES:
        assert loads(data) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_entry_of_the_platform(protocol: int) -> None:
    """What RQ writes for a job of Dioptra's is read, whichever protocol it has."""
    entry = ("f", None, (), {"job_id": 7, "experiment_id": 2**62})
    assert loads(pickle.dumps(entry, protocol=protocol)) == entry


def _doubled(count: int) -> bytes:
    """An empty tuple, doubled again and again: two to the *count* of them."""
    steps = (b"\x94h" + bytes([place]) + b"\x86" for place in range(count))
    return b")" + b"".join(steps)


BOMBS = {
    "code": pickle.dumps(dt.timedelta(1)),
    "a function": pickle.dumps(print),
    "a set": pickle.dumps({1, 2}),
    "a doubled tuple as a key": b"\x80\x04}" + _doubled(60) + b"Ns.",
    "a text of gigabytes": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "text of many more": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "a number of thousands of digits": pickle.dumps(10**10_000),
    "nothing": b"",
    "an end without a value": b"\x80\x02.",
    "a mark as a value": b"\x80\x02(.",
    "two values": b"\x80\x02NN.",
    "a value that is nowhere": b"\x80\x02h\x05.",
    "an item without a mapping": b"\x80\x02]NNs.",
    "an odd item": b"\x80\x02}(Nu.",
    "many parts": b"\x80\x02](" + b"N" * 20_000 + b"e.",
    "too much": b"\x80\x02]" + b"N" * MAX_PICKLE_BYTES,
    "no UTF-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str) -> None:
    """What would take time, memory or code is refused before it takes any."""
    began = time.monotonic()
    with pytest.raises(NotPlain):
        loads(BOMBS[name])
    assert time.monotonic() - began < 2


def test_what_looks_large_costs_nothing() -> None:
    """A far place in the memo is one entry, and a doubled tuple is one object."""
    assert loads(b"\x80\x02]r\xff\xff\xff\x7f.") == []
    assert len(loads(b"\x80\x04" + _doubled(200) + b".")) == 2


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but a refusal comes of bytes that nobody vouches for."""
    with contextlib.suppress(NotPlain):
        loads(b"\x80\x04" + data)


@given(
    st.lists(
        st.sampled_from(
            [
                *b"()]}t\x85\x86\x87aesuN\x88\x94."
            ],  # most opcodes, none with an argument
        ),
        max_size=200,
    )
)
def test_any_opcodes_are_read_or_refused(opcodes: list[int]) -> None:
    """Whatever order opcodes come in."""
    with contextlib.suppress(NotPlain):
        loads(bytes(opcodes))
