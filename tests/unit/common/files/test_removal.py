"""A folder goes away whatever a job has put into it, and nothing else does."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.files.workspace import workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
DEPTH = 1500
"""More than Python may recurse, and than a path may be long."""


@contextmanager
def _as_nobody() -> Iterator[Path]:
    """Be a user whom permissions stop, as they do not stop root, in a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)


def test_removal_without_permissions() -> None:
    """A folder goes away although its job took away all rights to folders in it."""
    with _as_nobody() as folder:
        deep = folder / "job" / "a" / "b"
        deep.mkdir(parents=True)
        (deep / "file").write_text("x")
        for path in (deep, deep.parent, folder / "job"):
            path.chmod(0)
        with pytest.raises(PermissionError):
            list(deep.iterdir())
        remove(folder / "job")
        assert not (folder / "job").exists()


def test_removal_leaves_alone_what_links_lead_to() -> None:
    """Neither contents nor rights of a folder change that a link leads to."""
    with _as_nobody() as folder:
        outside = folder / "outside"
        outside.mkdir()
        (outside / "file").write_text("x")
        outside.chmod(0o500)
        locked = folder / "job" / "locked"
        locked.mkdir(parents=True)
        (locked / "link").symlink_to(outside)
        locked.chmod(0o500)  # nothing in it can be removed at first
        remove(folder / "job")
        assert not (folder / "job").exists()
        assert stat.S_IMODE(outside.stat().st_mode) == 0o500
        assert (outside / "file").exists()


def test_removal_of_what_is_not_there(tmp_path: Path) -> None:
    """Removing a folder that is gone is no error."""
    remove(tmp_path / "gone")


def _dig(folder: Path, depth: int) -> None:
    """Make folders in folders, deeper than any path may be long."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper", dir_fd=descriptor)
        below = os.open("deeper", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


def test_no_depth_is_too_great(tmp_path: Path) -> None:
    """Folders in each other, more than a path may have, go; the worker goes on."""
    with workspace(tmp_path, 7) as space:
        _dig(space.root, DEPTH)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_its_place_is_all_that_goes(tmp_path: Path) -> None:
    """Where a job put a link for its own folder, the link goes and nothing else."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tmp_path / "job").symlink_to(outside)
    assert remove(tmp_path / "job")
    assert stat.S_IMODE(outside.stat().st_mode) == 0o500
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders of others")
def test_what_cannot_be_removed_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """What is not ours to remove stays, all else goes, and the log says so."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            with workspace(Path(name), 7) as space:
                (space.root / "ours").write_text("x")
                os.seteuid(0)
                foreign = space.root / "foreign"
                foreign.mkdir(mode=0o755)
                (foreign / "file").write_text("x")
                os.seteuid(NOBODY)
        finally:
            os.seteuid(0)
        left = [path.name for path in Path(name).rglob("*") if path.is_file()]
        assert left == ["file"]
        assert f"{space.root} could not be removed" in caplog.text


def test_removal_ends_in_time(tmp_path: Path) -> None:
    """A folder that takes too long is left: nobody waits for it."""
    (tmp_path / "job" / "a").mkdir(parents=True)
    began = time.monotonic()
    assert not remove(tmp_path / "job", timeout=-1.0)
    assert time.monotonic() - began < 5


def test_no_folder_is_in_the_way(tmp_path: Path) -> None:
    """What a job may know, its worker's process and how it counts, is no name here."""
    for number in range(3):
        for name in (f".removing-{os.getpid()}-{number}", f".removing-{number}"):
            (tmp_path / "job" / name / "a" / "more").mkdir(parents=True)
            (tmp_path / "job" / name / "a" / "big").write_bytes(b"x")
    assert remove(tmp_path / "job", timeout=30)
    assert list(tmp_path.iterdir()) == []
