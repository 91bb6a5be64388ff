"""Flat objects are read as JSON would read them; anything else is refused, cheaply."""

from __future__ import annotations

import contextlib
import json
import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.protocol.flat_json import MAX_INTEGER, read_flat

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


def _written(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@given(st.dictionaries(st.text(), SCALARS, min_size=1, max_size=16))
def test_plain_values_are_read(fields: dict[str, object]) -> None:
    """What JSON writes of plain values comes back, each of its own type."""
    assert repr(read_flat(_written(fields))) == repr(fields)


@given(st.binary(max_size=200))
def test_anything_else_is_refused(line: bytes) -> None:
    """Whatever bytes there are, there is an object or a `ValueError`."""
    with contextlib.suppress(ValueError):
        for value in read_flat(line).values():
            assert not isinstance(value, float) or math.isfinite(value)
            assert not isinstance(value, str) or value.encode()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"a":[]}',
        b'{"a":{}}',
        b'{"a":1}x',
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":-9223372036854775809}',
        b'{"a":9223372036854775808}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"' + b"x",
        b'{"a":"\xff"}',
        b'{"a"',
    ],
)
def test_what_is_no_flat_object(line: bytes) -> None:
    """Nesting, numbers without an end and what is no JSON are refused."""
    with pytest.raises(ValueError):  # noqa: PT011 - it is of many kinds
        read_flat(line)


def test_lone_surrogates_are_written_out() -> None:
    """What no encoding can hold does not come in."""
    assert read_flat(b'{"a":"\\udcff"}') == {"a": "\\udcff"}


def test_a_bomb_takes_no_memory() -> None:
    """What would be a gigabyte once it is decoded is refused before."""
    line = b'{"a":[' + b"[]," * (1 << 20) + b"[]]}"
    tracemalloc.start()
    with pytest.raises(ValueError, match="no plain value"):
        read_flat(line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(line)
