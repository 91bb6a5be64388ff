"""What Redis has in place of what a worker wrote: anybody can write there."""

from __future__ import annotations

import pytest

from dioptra_worker.broker.connection import texts
from dioptra_worker.broker.records import (
    PendingStatus,
    dump_record,
    read_holder,
    read_record,
    this_process,
)
from dioptra_worker.common.text.strict_json import NotJson

ODD = [
    b"",
    b"\xff",
    b"no JSON",
    b"null",
    b"[]",
    b"{}",
    b"[" * 100_000,
    b'{"pid": ' + b"9" * 5_000 + b"}",
    b'{"worker": "w", "host": "h", "pid": "1", "birth": "b"}',
    b'{"worker": "w", "host": "h", "pid": 1, "birth": []}',
]


@pytest.mark.parametrize("written", ODD, ids=lambda written: repr(written[:60]))
def test_odd_record(written: bytes) -> None:
    """It is no status; as a lease it is somebody's who may live."""
    with pytest.raises(NotJson):
        read_record(PendingStatus, written)
    holder = read_holder(written)
    assert holder.worker == "an unknown worker"
    assert not holder.is_local
    assert not holder.is_dead()


def test_own_record() -> None:
    """What a worker writes it can read."""
    assert read_holder(dump_record(this_process("one"))) == this_process("one")


def test_texts() -> None:
    """What is no text does not keep us from what is."""
    assert list(texts([b"1", b"\xff\xfe", "ä".encode()])) == ["1", "ä"]
