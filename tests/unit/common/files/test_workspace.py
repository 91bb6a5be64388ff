"""A job's folder is private and goes away."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from dioptra_worker.common.files.workspace import workspace


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


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="only root can hand a folder over to another user",
)
def test_a_folder_is_handed_over_to_another_user(tmp_path: Path) -> None:
    """Its user fills it, reads its plugins, has its artifacts; the rest stays ours."""
    user = 60706
    with workspace(tmp_path, 7, user=user) as space:
        file = space.plugins / "plugin" / "tasks.py"
        file.parent.mkdir(mode=0o755)
        file.touch(mode=0o600)
        artifact = space.artifact(1, 2)
        artifact.mkdir(parents=True)
        (artifact / "data").touch(mode=0o600)
        (artifact / "link").symlink_to("/etc/passwd")
        space.hand_over()
        found = {
            path: (path.lstat().st_uid, path.lstat().st_gid, path.lstat().st_mode)
            for path in (space.root, file.parent, file, artifact, artifact / "data")
        }
        assert found == {
            space.root: (0, user, stat.S_IFDIR | 0o1770),
            file.parent: (0, user, stat.S_IFDIR | 0o750),
            file: (0, user, stat.S_IFREG | 0o640),
            artifact: (user, user, stat.S_IFDIR | 0o755),
            artifact / "data": (user, user, stat.S_IFREG | 0o600),
        }
        assert (artifact / "link").lstat().st_uid == user
        assert Path("/etc/passwd").stat().st_uid == 0
    assert not space.root.exists()
