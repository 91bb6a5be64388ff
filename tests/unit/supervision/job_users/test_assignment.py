"""A user is one fork server's alone, and nobody else's on this machine."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.processes.job_user import JobUser
from dioptra_worker.supervision.job_users.assignment import JobUsers, lock_folders
from dioptra_worker.supervision.job_users.gpus import gpu_groups

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="jobs have users of their own on Linux only"
)

NUMBERS = range(7_000_001, 7_000_004)  # no worker of other tests has these


def test_no_two_have_the_same_user(tmp_path: Path) -> None:
    """What one worker has taken no other gets, until it is given back."""
    first, second = JobUsers(NUMBERS, [tmp_path]), JobUsers(NUMBERS, [tmp_path])
    mine = first.take()
    others = {second.take().uid, second.take().uid}
    assert {mine.uid, *others} == set(NUMBERS)
    with pytest.raises(OSError, match="no user is free"):
        first.take()
    first.give_back(mine)
    with pytest.raises(OSError, match="no user is free"):
        second.take()
    assert first.take() == mine


def test_a_folder_for_locks_that_goes(tmp_path: Path) -> None:
    """It is made again, as a work folder is, for a user that is taken later."""
    folder = tmp_path / "work" / "users"
    users = JobUsers(NUMBERS, [folder])
    first = users.take()
    shutil.rmtree(folder.parent)
    assert users.take() != first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_account_and_a_user_with_processes_are_left_alone(tmp_path: Path) -> None:
    """Whoever has an account, or runs something, is no user for jobs."""
    with pytest.raises(OSError, match="no user is free"):
        JobUsers([os.getuid(), 65534], [tmp_path]).take()


def test_groups_of_gpus(tmp_path: Path) -> None:
    """A device that its group alone may use asks for that group, but never root's."""
    (tmp_path / "dri").mkdir()
    for name, mode in (("dri/renderD128", 0o660), ("nvidia0", 0o666), ("kfd", 0o600)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    group = (tmp_path / "nvidia0").stat().st_gid
    assert gpu_groups(tmp_path) == ((group,) if group else ())


def test_a_folder_for_locks_that_others_could_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not used; where there is no other, that is an error."""
    module = "dioptra_worker.supervision.job_users.assignment.LOCKS"
    (tmp_path / "file").touch()
    monkeypatch.setattr(module, tmp_path / "file" / "locks")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    [good] = lock_folders(tmp_path / "good")
    assert stat.S_IMODE(good.stat().st_mode) == 0o700
    good.chmod(0o777)
    with pytest.raises(OSError, match="neither"):
        lock_folders(tmp_path / "good")


def test_containers_that_share_a_folder(tmp_path: Path) -> None:
    """Whatever folder two workers share, no user is both of theirs there."""
    machines = [tmp_path / name for name in ("first", "second", "shared")]
    for folder in machines:
        folder.mkdir()
    first, second, shared = machines
    users = [JobUsers(NUMBERS, [own, shared]) for own in (first, second)]
    assert len({users[0].take().uid, users[1].take().uid}) == 2
    # What could be locked in one folder only is not kept there.
    assert JobUsers(NUMBERS, [second]).take().uid == NUMBERS[0]


def test_a_user_as_text() -> None:
    """A user is read as it was written."""
    for user in (JobUser(60706), JobUser(7, (44, 109))):
        assert JobUser.parse(str(user)) == user
