"""A queue's buffer: nobody waits for the disk, and no disk is needed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tests.unit.daemon.outbox.words import Words

from dioptra_worker.daemon.outbox.buffer import Buffer, Capacity, Reading
from dioptra_worker.daemon.outbox.item_store import ItemStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pytest

ALL = 1 << 30
SOON = 10.0


class Disk(ItemStore[str]):
    """A store on a disk that is slow or broken as told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "words.sqlite", Words())
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.broken = False

    def append(self, items: Sequence[tuple[int, str]]) -> None:
        """Write."""
        self._use()
        super().append(items)

    def read(self, after: int) -> Iterator[tuple[int, str]]:
        """Read back."""
        self._use()
        return super().read(after)

    def delete(self, upto: int) -> None:
        """Delete."""
        self._use()
        super().delete(upto)

    def _use(self) -> None:
        assert self.goes_on.wait(SOON)
        if self.broken:
            raise OSError("Input/output error")


def _buffer(store: ItemStore[str] | None) -> Buffer[str]:
    return Buffer(Words().weight, store)


def _texts(buffer: Buffer[str]) -> list[str]:
    return [text for _, text in buffer.read(buffer.acked, most=ALL, weight=ALL).items]


def test_reopened(tmp_path: Path) -> None:
    """What was put and not acknowledged is there for the next process, in order."""
    buffer = _buffer(Disk(tmp_path))
    for text in "abcde":
        buffer.put(text)
    buffer.flush()
    buffer.ack(2)
    buffer.close()
    again = _buffer(Disk(tmp_path))
    assert (again.acked, again.last, again.waiting) == (2, 5, 3)
    assert _texts(again) == ["c", "d", "e"]
    assert again.put("f") == 6
    again.flush()
    assert _texts(again) == ["c", "d", "e", "f"]


def test_what_comes_during_a_write_is_written_next(tmp_path: Path) -> None:
    """Items that are put while the disk is written to do not wait for one more."""
    woken: list[None] = []
    buffer: Buffer[str]

    class Slow(Disk):
        """A disk in whose first write more comes."""

        def append(self, items: Sequence[tuple[int, str]]) -> None:
            if items[0][0] == 1:
                buffer.put("b")
                buffer.put("c")
                woken.clear()
            super().append(items)

    store = Slow(tmp_path)
    buffer = Buffer(Words().weight, store, lambda: woken.append(None))
    buffer.put("a")
    buffer.flush()
    assert woken == [None]
    buffer.flush()
    assert [text for _, text in store.read(0)] == ["a", "b", "c"]


def test_one_write(tmp_path: Path) -> None:
    """Items reach the disk with a flush, all at once; who writes is woken once."""
    woken: list[None] = []
    store = Disk(tmp_path)
    buffer = Buffer(Words().weight, store, lambda: woken.append(None))
    for text in "abc":
        buffer.put(text)
    assert list(store.read(0)) == []
    assert (buffer.load, len(woken)) == (3, 1)
    buffer.flush()
    assert list(store.read(0)) == [(1, "a"), (2, "b"), (3, "c")]
    assert buffer.load == 0


def test_acknowledged_before_written(tmp_path: Path) -> None:
    """What was delivered meanwhile is not written any more."""
    store = Disk(tmp_path)
    buffer = _buffer(store)
    for text in "abc":
        buffer.put(text)
    buffer.ack(2)
    buffer.flush()
    assert list(store.read(0)) == [(3, "c")]
    buffer.close()
    again = _buffer(Disk(tmp_path))
    assert (again.acked, _texts(again)) == (2, ["c"])


def test_putting_waits_for_no_disk(tmp_path: Path) -> None:
    """While the disk hangs items are taken and counted as ever."""
    store = Disk(tmp_path)
    buffer = _buffer(store)
    buffer.put("0")
    store.goes_on.clear()
    flushing = threading.Thread(target=buffer.flush)
    flushing.start()
    began = time.monotonic()
    for number in range(1, 100):
        assert buffer.has_capacity(Capacity())
        buffer.put(str(number))
    assert buffer.waiting == 100
    assert time.monotonic() - began < SOON / 2
    assert flushing.is_alive()
    store.goes_on.set()
    flushing.join()
    assert _texts(buffer) == [str(number) for number in range(100)]
    assert [text for _, text in buffer.read(1, most=2, weight=ALL).items] == ["1", "2"]


def test_disk_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the disk refuses, what it has stays in order before the rest in memory."""
    store = Disk(tmp_path)
    buffer = _buffer(store)
    buffer.put("a")
    buffer.flush()
    store.broken = True
    buffer.put("b" * 50)
    buffer.flush()
    buffer.put("c")
    buffer.flush()
    store.broken = False
    assert buffer.broken
    assert _texts(buffer) == ["a", "b" * 50, "c"]
    assert buffer.read(1, most=9, weight=ALL) == Reading([(2, "b" * 50), (3, "c")], 3)
    buffer.ack(2)
    assert _texts(buffer) == ["c"]
    assert buffer.load == 1
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events == ["outbox-not-kept"]


def test_a_disk_that_cannot_be_read(tmp_path: Path) -> None:
    """What the disk does not give back is accounted for as lost, and no error."""
    store = Disk(tmp_path)
    buffer = _buffer(store)
    for text in "ab":
        buffer.put(text)
    buffer.flush()
    buffer.put("c")
    store.broken = True
    assert buffer.read(0, most=10, weight=ALL) == Reading([], 2)
    assert buffer.read(2, most=10, weight=ALL) == Reading([(3, "c")], 3)
    buffer.ack(3)
    assert buffer.waiting == 0


def test_losses_are_counted(tmp_path: Path) -> None:
    """Items that cannot be decoded leave numbers without an item, in no one's way."""
    store = Disk(tmp_path)
    buffer = _buffer(store)
    for text in "abcdef":
        buffer.put(text)
    buffer.flush()
    with store._db as database:
        database.execute("UPDATE item SET body = '{' WHERE number IN (2, 3, 6)")
    assert buffer.read(0, most=1, weight=ALL) == Reading([(1, "a")], 1)
    assert buffer.read(1, most=2, weight=ALL) == Reading([(4, "d"), (5, "e")], 5)
    assert buffer.read(5, most=1, weight=ALL) == Reading([], 6)


def test_read_in_parts(tmp_path: Path) -> None:
    """Parts of a number and a weight follow each other from the disk into memory."""
    buffer = _buffer(Disk(tmp_path))
    texts = [f"text {number}" for number in range(50)]
    for number, text in enumerate(texts):
        buffer.put(text)
        if number in (20, 40):
            buffer.flush()
    found: list[str] = []
    upto = 0
    while upto < 50:
        part = buffer.read(upto, most=7, weight=30)
        assert 1 <= len(part.items) <= 7
        assert sum(len(text) for _, text in part.items) <= 30
        found += [text for _, text in part.items]
        upto = part.upto
    assert found == texts


def test_read_from_disk_and_memory(tmp_path: Path) -> None:
    """What is on disk and what is not yet come together, in order, within limits."""
    buffer = _buffer(Disk(tmp_path))
    for text in "ab":
        buffer.put(text)
    buffer.flush()
    for text in "cd":
        buffer.put(text)
    assert buffer.read(0, most=ALL, weight=ALL) == Reading([*enumerate("abcd", 1)], 4)
    assert buffer.read(1, most=2, weight=ALL) == Reading([(2, "b"), (3, "c")], 3)
    assert buffer.read(2, most=ALL, weight=ALL) == Reading([(3, "c"), (4, "d")], 4)


def test_heavy() -> None:
    """An item that is heavier than what was asked for is read alone."""
    buffer = _buffer(None)
    buffer.put("x" * 100)
    buffer.put("y")
    assert buffer.read(0, most=9, weight=10) == Reading([(1, "x" * 100)], upto=1)


def test_capacity(tmp_path: Path) -> None:
    """Without a disk the items count, with one the bytes on it; their weight always."""
    few = Capacity(items=2, weight=10, disk=50_000)
    memory, disk = _buffer(None), _buffer(Disk(tmp_path))
    for buffer in (memory, disk):
        buffer.put("a")
        assert buffer.has_capacity(few)
        buffer.put("b")
    assert not memory.has_capacity(few)
    assert disk.has_capacity(few)
    disk.put("c" * 10)
    assert not disk.has_capacity(few)
    disk.flush()
    assert disk.has_capacity(few)
    disk.put("d" * 50_000)
    disk.flush()
    assert not disk.has_capacity(few)
    disk.ack(disk.last)
    assert disk.has_capacity(few)


def test_nothing_of_nothing(tmp_path: Path) -> None:
    """A buffer without items has nothing to write, give or acknowledge."""
    buffer = _buffer(Disk(tmp_path))
    buffer.flush()
    buffer.ack(0)
    assert buffer.read(0, most=9, weight=ALL) == Reading([], 0)
    buffer.close()
    again = _buffer(Disk(tmp_path))
    assert (again.acked, again.last) == (0, 0)
