"""A job's folder is private and goes away."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.workspace import remove, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


def test_folder_is_private_and_goes_away(tmp_path: Path) -> None:
    """Only the worker's user can look into a job's folder, which is gone afterwards."""
    parent = tmp_path / "not" / "there" / "yet"
    before = os.umask(0)
    try:
        with workspace(parent, 7) as space:
            assert stat.S_IMODE(space.root.stat().st_mode) == 0o700
            assert stat.S_IMODE(parent.stat().st_mode) == 0o700
            assert space.root.name.startswith("job-7-")
            assert space.plugins.is_dir()
            assert space.artifact_plugins.is_dir()
            (space.root / "left behind").write_text("x")
    finally:
        os.umask(before)
    assert list(parent.iterdir()) == []


def test_folder_goes_away_after_an_error(tmp_path: Path) -> None:
    """However the block ends, the folder is gone."""
    with pytest.raises(ZeroDivisionError), workspace(tmp_path, 7):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_two_attempts_at_a_job_have_a_folder_each(tmp_path: Path) -> None:
    """A folder that an attempt has left is never another's."""
    with workspace(tmp_path, 7) as one, workspace(tmp_path, 7) as other:
        assert one.root != other.root


def test_download_is_private_and_goes_away(tmp_path: Path) -> None:
    """What is downloaded can be read by the worker only, and is removed."""
    with workspace(tmp_path, 7) as space, space.download() as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.write_bytes(b"x")
    assert not path.exists()


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
