"""What cannot be read of a queue entry is told with the field's name."""

from __future__ import annotations

import pickle

import pytest
import redis

from dioptra_worker.broker.rq.entry import DamagedEntry, _restored

WHOLE: dict[bytes, bytes | str] = {
    b"data": pickle.dumps(("f", None, (), {})),
    b"created_at": b"2026-11-29T10:00:00.000000Z",
    b"origin": b"q",
    b"status": b"queued",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"timeout", b"soon"),
        (b"timeout", b"\xff"),
        (b"timeout", b"9" * 5000),
        (b"created_at", b"yesterday"),
        (b"status", b"odd"),
        (b"result_ttl", b"x"),
        (b"dependency_ids", b"{"),
        (b"origin", b"\xff"),
    ],
)
def test_the_field_is_named(field: bytes, value: bytes) -> None:
    """Whoever looks for the cause reads which field it is, what it has, and why."""
    with pytest.raises(DamagedEntry) as caught:
        _restored("7", redis.Redis(), {**WHOLE, field: value})
    words = str(caught.value)
    assert words.startswith(f"its {field.decode()} ")
    assert "cannot be read: " in words
    assert "Error()" not in words
    assert len(words) < 3000


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"60", 60), (b"1h", 3600), (b"-1", -1)]
)
def test_time_limits(value: bytes, seconds: int) -> None:
    """A time limit is read however it is written."""
    job = _restored("7", redis.Redis(), {**WHOLE, b"timeout": value})
    assert job.timeout == seconds
