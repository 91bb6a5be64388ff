"""A job's folder is private and goes away."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from pathlib import Path
from unittest.mock import Mock

import pytest

from dioptra_worker.common.files.held_folder import make_held
from dioptra_worker.common.files.stale_workspaces import remove_stale
from dioptra_worker.common.files.workspace import (
    MAX_NAMES,
    host_token,
    temporary_of,
    workspace,
)


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


def test_temporary_files_are_in_a_folder_that_goes_away(tmp_path: Path) -> None:
    """It is private, its path is short, and what was left in it is told."""
    with workspace(tmp_path, 7) as space:
        temporary = space.temporary
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o700
        assert len(str(temporary)) < len(tempfile.gettempdir()) + 20
        assert space.leftovers() is None
        space.address.touch()
        (temporary / "model.part").touch()
        for number in range(MAX_NAMES):
            (temporary / f"x{number}").mkdir()
        words = space.leftovers()
        assert words is not None
        assert "left: 'model.part', 'x0'" in words
        assert words.endswith(", 1 more")
    assert not temporary.exists()


def test_temporary_files_of_a_lost_worker_go_with_its_folder(tmp_path: Path) -> None:
    """Those of a live worker stay, and so does what only has the name."""
    lost, others = (
        tmp_path / f"job-7-{host_token()}.999999999.00000000-{name}"
        for name in ("aaaaaaa0", "aaaaaaa1")
    )
    for root in (lost, others):
        root.mkdir()
    temporary_of(lost).mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    temporary_of(others).symlink_to(elsewhere)
    try:
        with workspace(tmp_path, 7) as alive:
            assert sorted(remove_stale(tmp_path)) == [lost, others]
            assert alive.temporary.is_dir()
        assert not temporary_of(lost).exists()
        assert elsewhere.is_dir()
    finally:
        temporary_of(others).unlink()


def test_each_kind_of_folder_is_removed_by_whom_it_concerns(tmp_path: Path) -> None:
    """A fork server leaves workers' folders alone, and other programs' in any case."""
    owner = f"{host_token()}.999999999.00000000-abc"
    names = [f"fork-server-{owner}", f"job-7-{owner}", "fork-server-of-others"]
    for name in names:
        (tmp_path / name).mkdir()
    assert remove_stale(tmp_path, kind="fork-server") == [tmp_path / names[0]]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_a_folder_stays_whose_process_cannot_be_seen(tmp_path: Path) -> None:
    """A process id of another container says nothing of here; who holds it, lives."""
    prefix = f"job-7-{host_token()}.999999999.00000000-"
    folder, held = make_held(tmp_path, prefix)
    assert folder.name.startswith(prefix)
    assert remove_stale(tmp_path) == []
    os.close(held)
    assert remove_stale(tmp_path) == [folder]


def test_a_folder_that_cannot_be_held_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a descriptor to hold it by, nothing of it is left."""
    monkeypatch.setattr(os, "open", Mock(side_effect=OSError(errno.EMFILE, "too many")))
    with pytest.raises(OSError, match="too many"):
        make_held(tmp_path, "job-7-")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_nobody_can_tell_of_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a descriptor to look with, what may be somebody's is left alone."""
    folder = tmp_path / f"job-7-{host_token()}.999999999.00000000-abc"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", Mock(side_effect=OSError(errno.EMFILE, "too many")))
        assert remove_stale(tmp_path) == []
    assert remove_stale(tmp_path) == [folder]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="only root can hand a folder over to another user",
)
def test_another_user_gets_through_folders_that_were_missing(tmp_path: Path) -> None:
    """It may pass them, and not look around; what was there on the way stays."""
    before = tmp_path.stat().st_mode
    parent = tmp_path / "not" / "yet"
    with workspace(parent, 7, user=60706):
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (parent, parent.parent)]
    assert modes == [0o711, 0o711]
    assert tmp_path.stat().st_mode == before


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
        (space.root / "left").touch()
        os.chown(space.root / "left", user, user)
        (space.temporary / "left").mkdir()
        space.change_user(user + 1)
        assert [*space.root.iterdir()] == [space.root / ".dioptra"]
        assert [*space.temporary.iterdir()] == []
        for path in (space.root, space.temporary, file.parent, file, artifact):
            assert path.stat().st_gid == user + 1
        assert (artifact / "data").stat().st_uid == user + 1
        assert file.stat().st_uid == 0
    assert not space.root.exists()
