"""Items on disk: in order, bounded by what waits, unharmed by a torn end."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.daemon.outbox.wal import Reading, WriteAheadLog

if TYPE_CHECKING:
    from pathlib import Path

ALL = 1 << 30


class Words:
    """Texts as lines of JSON."""

    def encode(self, item: str) -> bytes:
        """A text as a line."""
        return json.dumps(item).encode() + b"\n"

    def decode(self, line: bytes) -> str:
        """The text on a line."""
        return str(json.loads(line))

    def weight(self, item: str) -> int:
        """Its length."""
        return len(item)


def _wal(folder: Path, *, segment: int = ALL) -> WriteAheadLog[str]:
    return WriteAheadLog(folder, "words", Words(), segment=segment)


def _texts(wal: WriteAheadLog[str], after: int | None = None) -> list[str]:
    start = wal.acked if after is None else after
    return [text for _, text in wal.read(start, most=ALL, weight=ALL).items]


def _segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("words-*"))


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc/self/mem")
def test_a_disk_that_cannot_be_read(tmp_path: Path) -> None:
    """What the disk does not give back is accounted for as lost, and no error."""
    wal = _wal(tmp_path, segment=1)
    for text in "ab":
        wal.append(text)
        wal.flush()
    segment = tmp_path / _segments(tmp_path)[0]
    segment.unlink()
    segment.symlink_to("/proc/self/mem")  # opens, and answers to reading with EIO
    with pytest.raises(OSError, match="Input/output"):
        segment.read_bytes()
    assert wal.read(0, most=10, weight=ALL) == Reading([(2, "b")], 2)


def test_reopened(tmp_path: Path) -> None:
    """What was written and not settled is there for the next process, in order."""
    wal = _wal(tmp_path)
    for text in "abcde":
        wal.append(text)
    wal.flush()
    wal.ack(2)
    again = _wal(tmp_path)
    assert (again.acked, again.last, again.waiting) == (2, 5, 3)
    assert _texts(again) == ["c", "d", "e"]
    assert again.append("f") == 6
    assert _texts(again) == ["c", "d", "e", "f"]


def test_one_write(tmp_path: Path) -> None:
    """Items reach the disk with a flush, all at once, for their owner only."""
    wal = _wal(tmp_path)
    for text in "abc":
        wal.append(text)
    assert _segments(tmp_path) == []
    assert wal.held == 3
    wal.flush()
    (file,) = tmp_path.iterdir()
    assert file.read_bytes() == b'1 "a"\n2 "b"\n3 "c"\n'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert wal.held == 0


def test_settled_before_written(tmp_path: Path) -> None:
    """What was delivered meanwhile is not written any more."""
    wal = _wal(tmp_path)
    for text in "abc":
        wal.append(text)
    wal.ack(2)
    wal.flush()
    assert _segments(tmp_path) == ["words-000000000003"]
    again = _wal(tmp_path)
    assert (again.acked, _texts(again)) == (2, ["c"])


@pytest.mark.parametrize("cut", range(1, 9))
def test_torn(tmp_path: Path, cut: int) -> None:
    """A last line that is torn anywhere is passed over, and nothing after it harmed."""
    wal = _wal(tmp_path)
    wal.append("a")
    wal.append("b" * 3)
    wal.flush()
    file = tmp_path / "words-000000000001"
    file.write_bytes(file.read_bytes()[:-cut])
    again = _wal(tmp_path)
    assert _texts(again) == ["a"]
    again.append("c")
    again.flush()
    assert _texts(_wal(tmp_path)) == ["a", "c"]


@pytest.mark.parametrize(
    "rubbish", [b"\0" * 100, b"\xff\xfe\n", b"no number\n", b'2 "torn\n', b"\n"]
)
def test_rubbish(tmp_path: Path, rubbish: bytes) -> None:
    """What a machine that went down has left instead of lines is passed over."""
    wal = _wal(tmp_path)
    wal.append("a")
    wal.flush()
    with (tmp_path / "words-000000000001").open("ab") as file:
        file.write(rubbish)
    again = _wal(tmp_path)
    again.append("z")
    again.flush()
    assert _texts(again) == ["a", "z"]
    assert _texts(_wal(tmp_path)) == ["a", "z"]


def test_losses_are_counted(tmp_path: Path) -> None:
    """A line in the middle that cannot be read leaves a number without an item."""
    wal = _wal(tmp_path)
    for text in "abc":
        wal.append(text)
    wal.flush()
    file = tmp_path / "words-000000000001"
    file.write_bytes(file.read_bytes().replace(b'"b"', b"'b'"))
    reading = _wal(tmp_path).read(0, most=ALL, weight=ALL)
    assert reading == Reading([(1, "a"), (3, "c")], upto=3)


def test_segments(tmp_path: Path) -> None:
    """A full segment is followed by another, and removed when all of it is settled."""
    wal = _wal(tmp_path, segment=20)
    for number in range(20):
        wal.append(f"text {number}")
        wal.flush()
    many = _segments(tmp_path)
    assert len(many) > 5
    assert _texts(wal) == [f"text {number}" for number in range(20)]
    wal.ack(19)
    assert len(_segments(tmp_path)) == 1
    assert wal.size < 40
    assert _texts(_wal(tmp_path, segment=20)) == ["text 19"]


def test_read_in_parts(tmp_path: Path) -> None:
    """Parts of a number and a weight follow each other over all segments."""
    wal = _wal(tmp_path, segment=50)
    texts = [f"text {number}" for number in range(50)]
    for text in texts[:40]:
        wal.append(text)
        wal.flush()
    for text in texts[40:]:
        wal.append(text)
    found: list[str] = []
    upto = 0
    while upto < 50:
        part = wal.read(upto, most=7, weight=30)
        assert 1 <= len(part.items) <= 7
        assert sum(len(text) for _, text in part.items) <= 30
        found += [text for _, text in part.items]
        upto = part.upto
    assert found == texts


def test_heavy(tmp_path: Path) -> None:
    """An item that is heavier than what was asked for is read alone."""
    wal = _wal(tmp_path)
    wal.append("x" * 100)
    wal.append("y")
    assert wal.read(0, most=9, weight=10) == Reading([(1, "x" * 100)], upto=1)


def test_disk_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the disk refuses, what is written stays whole and the rest in memory."""
    wal = _wal(tmp_path)
    wal.append("a")
    wal.flush()
    wal.append("b" * 50)
    _full_after(monkeypatch, 20)
    wal.flush()
    assert wal.broken
    wal.append("c")
    assert _texts(wal) == ["a", "b" * 50, "c"]
    wal.ack(2)
    assert _texts(wal) == ["c"]
    assert wal.held == 1
    monkeypatch.undo()
    assert _texts(_wal(tmp_path), after=0) == ["a"]
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events == ["outbox-not-kept"]


def test_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    """A wal without items makes no files."""
    wal = _wal(tmp_path)
    wal.flush()
    wal.ack(0)
    wal.close()
    assert list(tmp_path.iterdir()) == []


def _full_after(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A disk that takes so many bytes more."""
    left = size
    write = os.write

    def limited(file: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(file, bytes(data[:left]))
        left -= done
        return done

    monkeypatch.setattr("os.write", limited)
