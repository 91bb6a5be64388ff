"""Items of one queue on disk: appended, read back in order, gone once delivered.

A wal is a row of files, the *segments*. Each line of one is an item's number and
the item as JSON; a segment's name ends with its first number. A segment is removed
when all of it is settled, so what a wal takes is what still waits, not what a job
has ever said. How far it is settled stands in a small file of its own.

Nothing is synchronised to the disk: the system keeps what was written when a process
is killed, and only a machine that goes down may lose the last seconds. A line that
was torn then is passed over.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger("dioptra_worker.spool")

P = TypeVar("P")

SEGMENT = 4 << 20
"""Bytes after which a segment is full."""
_DIGITS = 12


class Codec(Protocol[P]):
    """How items are written down."""

    def encode(self, item: P) -> bytes:
        """An item as one line, newline included."""
        ...

    def decode(self, line: bytes) -> P:
        """The item on a line; `ValueError` when there is none."""
        ...

    def weight(self, item: P) -> int:
        """About how many bytes an item takes."""
        ...


@dataclass(frozen=True)
class Reading(Generic[P]):
    """What was read back.

    Attributes:
        items: Items with their numbers, in order.
        upto: The last number that is accounted for; those of the numbers before it
            that have no item are lost.
    """

    items: list[tuple[int, P]]
    upto: int


class WriteAheadLog(Generic[P]):
    """One queue's items on disk; safe from any thread.

    Attributes:
        settled: The number up to which all items are delivered or given up.
        last: The number of the last item.
        broken: Whether the disk refused something; then what follows is in memory.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        codec: Codec[P],
        *,
        segment: int = SEGMENT,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Open a wal, or begin one.

        Args:
            folder: Where its files are.
            name: What their names begin with.
            codec: How items are written down.
            segment: Bytes after which a segment is full.
            wake: Called when there is something to write, to have it flushed soon.

        Raises:
            OSError: If the files cannot be read.
        """
        self._folder = folder
        self._name = name
        self._codec = codec
        self._most = segment
        self._wake = wake
        self._lock = threading.RLock()
        self._unwritten: list[tuple[int, P]] = []
        self._held = 0
        self._file: int | None = None
        self.broken = False
        self._sizes = {
            int(path.name.rpartition("-")[2]): path.stat().st_size
            for path in sorted(folder.glob(f"{name}-{'[0-9]' * _DIGITS}"))
        }
        self.acked = self._read_settled()
        self.last = max(self.acked, self._repair())
        self._cursor: tuple[int, int] | None = None

    @property
    def waiting(self) -> int:
        """How many items are not settled."""
        return self.last - self.acked

    @property
    def size(self) -> int:
        """About how many bytes it takes, what is yet to be written included."""
        with self._lock:
            return sum(self._sizes.values()) + self._held

    @property
    def held(self) -> int:
        """About how many bytes are yet to be written."""
        return self._held

    def append(self, item: P) -> int:
        """Keep an item; it is written with the next `flush`. Returns its number."""
        with self._lock:
            self.last += 1
            self._unwritten.append((self.last, item))
            self._held += self._codec.weight(item)
            if len(self._unwritten) == 1:
                self._wake()
            return self.last

    def number(self) -> int:
        """A number for an item that is not kept here."""
        with self._lock:
            self.last += 1
            return self.last

    def flush(self) -> None:
        """Write what is yet to be written, all at once."""
        with self._lock:
            if self.broken or not self._unwritten:
                return
            waiting = [item for item in self._unwritten if item[0] > self.acked]
            try:
                if waiting:
                    self._write(waiting)
            except OSError as error:
                self.broken = True
                log.warning(
                    "what is not delivered is kept in memory only: %s",
                    error,
                    extra={"event": "outbox-not-kept"},
                )
                return
            self._unwritten.clear()
            self._held = 0

    def read(self, after: int, *, most: int, weight: int) -> Reading[P]:
        """Read items back.

        Args:
            after: The number after which to begin; never less than before.
            most: How many at most.
            weight: What they may weigh, unless the first is heavier.
        """
        with self._lock:
            self.flush()
            found: list[tuple[int, P]] = []
            upto = after
            for number, item in self._after(after):
                weight -= self._codec.weight(item)
                if found and (weight < 0 or len(found) == most):
                    return Reading(found, upto)
                found.append((number, item))
                upto = number
            return Reading(found, self.last)

    def ack(self, number: int) -> None:
        """Note that all items up to a number are delivered or given up."""
        with self._lock:
            if number <= self.acked:
                return
            self.acked = number
            if self._sizes:
                with contextlib.suppress(OSError):  # it is delivered twice, at worst
                    self._write_settled(number)
            starts = sorted(self._sizes)
            for start, following in itertools.pairwise(starts):
                if following - 1 <= number:
                    self._remove(start)
            if self.broken:
                kept = [item for item in self._unwritten if item[0] > number]
                self._unwritten = kept
                self._held = sum(self._codec.weight(item) for _, item in kept)

    def close(self) -> None:
        """Write what is yet to be written, and close the files."""
        with self._lock:
            self.flush()
            if self._file is not None:
                os.close(self._file)
                self._file = None

    # -- files -----------------------------------------------------------------

    def _path(self, start: int) -> Path:
        return self._folder / f"{self._name}-{start:0{_DIGITS}}"

    def _write(self, items: list[tuple[int, P]]) -> None:
        lines = b"".join(
            b"%d %s" % (number, self._codec.encode(item)) for number, item in items
        )
        current = max(self._sizes, default=None)
        if current is None or self._sizes[current] >= self._most:
            current = items[0][0]
            self._begin(current)
        elif self._file is None:
            self._file = os.open(self._path(current), os.O_WRONLY | os.O_APPEND)
        assert self._file is not None
        before = self._sizes[current]
        left = memoryview(lines)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, before)
            raise
        self._sizes[current] = before + len(lines)

    def _begin(self, start: int) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._file = os.open(self._path(start), flags, 0o600)
        self._sizes[start] = 0

    def _remove(self, start: int) -> None:
        with contextlib.suppress(OSError):
            self._path(start).unlink()
        del self._sizes[start]

    def _after(self, after: int) -> Iterator[tuple[int, P]]:
        """Items with a greater number, from the files, then from memory."""
        starts = sorted(self._sizes)
        for index, start in enumerate(starts):
            if index + 1 < len(starts) and starts[index + 1] - 1 <= after:
                continue
            with contextlib.suppress(OSError):  # what cannot be read is lost
                for number, item in self._lines(start, after):
                    if number > after:
                        yield number, item
                        after = number
        for number, item in self._unwritten:
            if number > after:
                yield number, item

    def _lines(self, start: int, after: int) -> Iterator[tuple[int, P]]:
        """The items of a segment; where the last reading ended is remembered."""
        with self._path(start).open("rb") as file:
            if self._cursor is not None and self._cursor[0] == start:
                file.seek(self._cursor[1])
            place = file.tell()
            for line in file:
                number = _number(line)
                if number is not None and number <= after:
                    self._cursor = (start, place + len(line))
                elif number is not None:
                    with contextlib.suppress(ValueError):
                        yield number, self._codec.decode(line.split(b" ", 1)[1])
                place += len(line)

    def _repair(self) -> int:
        """Cut off a torn last line; the number of the last whole one."""
        if not self._sizes:
            return 0
        start = max(self._sizes)
        last = start - 1
        whole = 0
        with self._path(start).open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                last = _number(line) or last
        if whole < self._sizes[start]:
            os.truncate(self._path(start), whole)
            self._sizes[start] = whole
        return last

    # -- how far it is settled -------------------------------------------------

    def _read_settled(self) -> int:
        try:
            return int((self._folder / f"{self._name}.settled").read_bytes())
        except (OSError, ValueError):
            return max(0, min(self._sizes, default=1) - 1)

    def _write_settled(self, number: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT
        file = os.open(self._folder / f"{self._name}.settled", flags, 0o600)
        try:
            os.pwrite(file, f"{number:0{_DIGITS}}".encode(), 0)
        finally:
            os.close(file)


def _number(line: bytes) -> int | None:
    """The number that a whole line begins with."""
    digits, space, _ = line.partition(b" ")
    return int(digits) if space and digits.isdigit() and line.endswith(b"\n") else None
