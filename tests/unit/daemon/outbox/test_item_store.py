"""Items on disk: in order, for their owner only, unharmed by a torn end."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.daemon.outbox.words import Words

from dioptra_worker.daemon.outbox import item_store
from dioptra_worker.daemon.outbox.item_store import ItemStore

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


def _store(folder: Path) -> ItemStore[str]:
    return ItemStore(folder / "words.sqlite", Words())


def _left(folder: Path) -> Path:
    """What is there for the next when the owner of a folder is killed now."""
    copy = folder.with_name(f"{folder.name}-left")
    shutil.copytree(folder, copy)
    return copy


def _texts(store: ItemStore[str], after: int = 0) -> list[str]:
    return [text for _, text in store.read(after)]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def _is_open(folder: Path) -> bool:
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.append(path.readlink())
    return any(folder in path.parents for path in found)


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
def test_a_file_that_cannot_be_used_is_not_left_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is short of descriptors, or of space, loses none to it."""
    store = _store(folder)
    assert _is_open(folder)
    store.close()
    assert not _is_open(folder)
    monkeypatch.setattr(item_store, "SETUP", "SELECT no_such_column")
    with pytest.raises(OSError, match="no such column") as raised:
        _store(folder)
    assert not _is_open(folder)
    del raised  # it has the frames, and with them the store


def test_reopened(folder: Path) -> None:
    """What was written and not deleted is there for the next process, in order."""
    _store(folder).append(list(enumerate("abcde", 1)))
    again = _store(_left(folder))
    assert (again.acked, again.last, _texts(again)) == (0, 5, list("abcde"))
    again.delete(2)
    again.close()
    again = _store(folder.with_name("folder-left"))
    assert (again.acked, again.last, _texts(again)) == (2, 5, list("cde"))
    assert list(again.read(3)) == [(4, "d"), (5, "e")]


def test_last_number_outlives_its_item(folder: Path) -> None:
    """Numbers go on after all items were deleted."""
    store = _store(folder)
    store.append([(1, "a"), (2, "b")])
    store.delete(2)
    again = _store(_left(folder))
    assert (again.acked, again.last, _texts(again)) == (2, 2, [])


def test_private(folder: Path) -> None:
    """All files are for their owner only, whatever the umask."""
    before = os.umask(0)
    try:
        _store(folder).append([(1, "a")])
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize("cut", [1, 7, 100, 4095, 4096, 5000])
def test_torn(folder: Path, cut: int) -> None:
    """A write that is torn anywhere is passed over whole, and none before it harmed."""
    store = _store(folder)
    store.append([(1, "a")])
    store.append([(2, "b"), (3, "c")])
    left = _left(folder)
    log = left / "words.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-cut])
    again = _store(left)
    assert _texts(again) == ["a"]
    again.append([(again.last + 1, "d")])
    assert _texts(again) == ["a", "d"]


def test_rubbish_in_sqlites_log(folder: Path) -> None:
    """What a machine that went down has left instead of the last writes is no harm."""
    _store(folder).append([(1, "a")])
    left = _left(folder)
    log = left / "words.sqlite-wal"
    log.write_bytes(b"\xff" * log.stat().st_size)
    again = _store(left)
    assert _texts(again) == []
    again.append([(again.last + 1, "b")])
    assert _texts(again) == ["b"]


@pytest.mark.parametrize("rubbish", [b"\xff", b"\0", b"SQLite"])
def test_rubbish(
    folder: Path, rubbish: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that makes no sense is begun anew, and that is said."""
    store = _store(folder)
    store.append([(1, "a")])
    store.close()
    file = folder / "words.sqlite"
    file.write_bytes(rubbish * 10_000)
    again = _store(folder)
    assert _texts(again) == []
    again.append([(again.last + 1, "b")])
    assert _texts(again) == ["b"]
    assert "is damaged" in caplog.text


def test_one_that_cannot_be_decoded(folder: Path) -> None:
    """An item that makes no sense costs itself only."""
    store = _store(folder)
    store.append(list(enumerate("abcd", 1)))
    with store._db as database:
        database.execute("UPDATE item SET body = '{' WHERE number = 2")
        database.execute("UPDATE item SET body = NULL WHERE number = 3")
    assert list(store.read(0)) == [(1, "a"), (4, "d")]


def test_space_is_used_again(folder: Path) -> None:
    """What was deleted leaves its place to what follows: on disk is what waits."""
    store = _store(folder)
    for number in range(1, 401):
        store.append([(number, "x" * 100_000)])
        store.delete(number - 1)
    assert store.size < MIB
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8 * MIB


@pytest.fixture(name="_full_disk")
def _full() -> Iterator[None]:
    """A disk that takes files of one MiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_full_disk")
def test_full_disk(folder: Path) -> None:
    """What a full disk refuses harms nothing that it has."""
    store = _store(folder)
    store.append([(1, "a")])
    with pytest.raises(OSError, match="SQLite"):
        store.append([(2, "b" * 2 * MIB)])
    assert _texts(store) == ["a"]
    store.append([(2, "c")])
    assert _texts(_store(_left(folder))) == ["a", "c"]


def test_no_place(tmp_path: Path) -> None:
    """A place where no file can be is an error of the disk."""
    with pytest.raises(OSError, match="nowhere"):
        _store(tmp_path / "nowhere")
