"""Items of one queue on disk: an SQLite file, which one process at a time has open."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

log = logging.getLogger("dioptra_worker.spool")

P = TypeVar("P")

SETUP = """
PRAGMA synchronous=OFF;
PRAGMA locking_mode=EXCLUSIVE;
PRAGMA journal_mode=WAL;
PRAGMA journal_size_limit=4194304;
CREATE TABLE IF NOT EXISTS item (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB);
PRAGMA synchronous=NORMAL;
"""
# A write-ahead log in exclusive mode needs no shared memory, which a network file
# system has not; the journal's lock sees to it that there is one owner anyway.
# SQLite then synchronises only when it copies its log into the file, every few MiB: so
# what was committed outlives the process, and a machine that goes down loses the last
# seconds. Making a file and closing it are not synchronised, which took longer than all
# else that a short job writes. The sequence (AUTOINCREMENT) remembers the last number
# when all rows are deleted.


class Codec(Protocol[P]):
    """How items are written down."""

    def encode(self, item: P) -> bytes:
        """An item as bytes."""
        ...

    def decode(self, line: bytes) -> P:
        """The item again; `ValueError` when there is none."""
        ...


class ItemStore(Generic[P]):
    """Numbered items in a file; any thread may use it, one at a time.

    Every method raises `OSError` when the disk refuses.

    Attributes:
        acked: When it was opened, the number before that of its first item.
        last: When it was opened, that of the last item that it ever had.
        size: Bytes that it takes, but for SQLite's own log of a few MiB.
    """

    def __init__(self, file: Path, codec: Codec[P]) -> None:
        """Open a file, or make it; one that is damaged is made anew, which is said."""
        self._codec = codec
        with _errors_translated():
            try:
                self._open(file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                words = "%s is damaged (%s): what was not delivered is lost"
                log.warning(words, file, error, extra={"event": "outbox-not-kept"})
                for path in file.parent.glob(f"{file.name}*"):
                    path.unlink()  # its log, too, which would be applied to the new one
                self._open(file)

    def _open(self, file: Path) -> None:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite's mode is 0644
        self._db = sqlite3.connect(file, check_same_thread=False)
        with contextlib.ExitStack() as closing:  # one that cannot be used is not kept
            closing.callback(self._db.close)
            self._db.executescript(SETUP)
            self.last = self._number("SELECT max(seq) FROM sqlite_sequence") or 0
            first = self._number("SELECT min(number) FROM item")
            self.acked = self.last if first is None else first - 1
            self._measure()
            closing.pop_all()

    def append(self, items: Sequence[tuple[int, P]]) -> None:
        """Write numbered items, all or none."""
        rows = ((number, self._codec.encode(item)) for number, item in items)
        with _errors_translated(), self._db:
            self._db.executemany("INSERT INTO item VALUES (?, ?)", rows)
            self._measure()

    def read(self, after: int) -> Iterator[tuple[int, P]]:
        """The items that follow a number, but for those that cannot be read."""
        query = (
            "SELECT number, CAST(ifnull(body, '') AS BLOB)"  # also of a damaged row
            " FROM item WHERE number > ? ORDER BY number"
        )
        with _errors_translated():
            for number, line in self._db.execute(query, (after,)):
                with contextlib.suppress(ValueError):
                    yield number, self._codec.decode(line)

    def delete(self, upto: int) -> None:
        """Delete the items up to a number."""
        with _errors_translated(), self._db:
            self._db.execute("DELETE FROM item WHERE number <= ?", (upto,))
            self._measure()

    def close(self) -> None:
        """Close the file."""
        with _errors_translated(), contextlib.closing(self._db):
            self._db.execute("PRAGMA synchronous=OFF")

    def _number(self, query: str) -> int | None:
        found: int | None = self._db.execute(query).fetchone()[0]
        return found

    def _measure(self) -> None:
        pages, free, size = (
            self._number(f"PRAGMA {name}") or 0
            for name in ("page_count", "freelist_count", "page_size")
        )
        self.size = (pages - free) * size


@contextlib.contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"SQLite: {error}") from error
