"""A job's folder is private and goes away."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.workspace import workspace

if TYPE_CHECKING:
    from pathlib import Path


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
