"""A user is one fork server's alone, and nobody else's on this machine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.plugins import open_home

from dioptra_worker.common.processes.job_user import JobUser
from dioptra_worker.supervision.job_users.assignment import (
    JobUsers,
    gpu_groups,
    lock_folder,
)
from dioptra_worker.supervision.job_users.choice import choose_job_users

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="jobs have users of their own on Linux only"
)

NUMBERS = range(60706, 60709)
CHOOSE = """
import json, os, sys
from pathlib import Path
from dioptra_worker.supervision.job_users.choice import choose_job_users
if {uid}:
    os.setgroups([]), os.setgid({uid}), os.setuid({uid})
choice = choose_job_users(
    {wanted!r}, slots={slots}, work_dir=Path({folder!r}), environment=dict(os.environ)
)
uid = choice.users.take().uid if choice.users else None
print(json.dumps([uid, choice.reason, choice.is_surprise]))
"""


def test_no_two_have_the_same_user(tmp_path: Path) -> None:
    """What one worker has taken no other gets, until it is given back."""
    first, second = JobUsers(NUMBERS, tmp_path), JobUsers(NUMBERS, tmp_path)
    mine = first.take()
    others = {second.take().uid, second.take().uid}
    assert {mine.uid, *others} == set(NUMBERS)
    with pytest.raises(OSError, match="no user is free"):
        first.take()
    first.give_back(mine)
    with pytest.raises(OSError, match="no user is free"):
        second.take()
    assert first.take() == mine


def test_an_account_and_a_user_with_processes_are_left_alone(tmp_path: Path) -> None:
    """Whoever has an account, or runs something, is no user for jobs."""
    with pytest.raises(OSError, match="no user is free"):
        JobUsers([os.getuid(), 65534], tmp_path).take()


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
    good = lock_folder(tmp_path / "good")
    assert stat.S_IMODE(good.stat().st_mode) == 0o700
    good.chmod(0o777)
    with pytest.raises(OSError, match="neither"):
        lock_folder(good)


def test_none_is_none(tmp_path: Path) -> None:
    """Whoever wants no users for jobs has none, and it is no surprise."""
    choice = choose_job_users("none", slots=1, work_dir=tmp_path, environment={})
    assert choice.users is None
    assert not choice.is_surprise


@pytest.mark.process
@pytest.mark.parametrize(
    ("wanted", "uid", "slots", "expected", "words"),
    [
        ("auto", 0, 1, 60706, ""),
        ("70000", 0, 1, 70000, ""),
        ("65534", 0, 1, None, "user 65534 has an account"),
        ("auto", 0, 500, None, "500 slots need more users than 478"),
        ("auto", 65534, 1, None, "user 65534 has not the rights to change users"),
        ("70000", 65534, 1, None, "has not the rights to change users"),
    ],
)
def test_what_is_decided_where_root_may_change_users(
    wanted: str, uid: int, slots: int, expected: int | None, words: str
) -> None:
    """Users where they can be had; whoever is not root keeps its own, and says why."""
    found, reason, surprise = _choose(wanted, uid=uid, slots=slots)
    if expected is not None and found != expected:  # others may have taken the first
        assert found in range(expected, expected + 478)
    else:
        assert found == expected
    assert words in reason
    assert surprise == (expected is None and (wanted, uid) != ("auto", 65534))


@pytest.mark.process
def test_a_work_folder_that_others_cannot_enter() -> None:
    """It is tried, and said which folder; the folder's mode is what it was."""
    with tempfile.TemporaryDirectory() as parent:  # its owner's alone
        folder = Path(parent, "work")
        folder.mkdir(mode=0o700)
        found, reason, surprise = _choose("auto", folder=folder)
        assert found is None
        assert f"cannot write to {folder}" in reason
        assert surprise
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.process
def test_a_python_that_others_cannot_read(tmp_path: Path) -> None:
    """What a job could not read is named."""
    if isinstance(words := open_home.prefix(), str):
        pytest.skip(words)
    secret = tmp_path / "token"
    secret.touch(mode=0o600)
    found, reason, _ = _choose("auto", AWS_WEB_IDENTITY_TOKEN_FILE=str(secret))
    assert found is None
    assert f"cannot read {secret}, which jobs need" in reason


def _choose(
    wanted: str,
    *,
    uid: int = 0,
    slots: int = 1,
    folder: Path | None = None,
    **environment: str,
) -> tuple[int | None, str, bool]:
    prefix = open_home.prefix()
    if isinstance(prefix, str):
        pytest.skip(prefix)
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        (Path(parent) / "work").mkdir(mode=0o700)
        code = CHOOSE.format(
            wanted=wanted,
            uid=uid,
            slots=slots,
            folder=str(folder or Path(parent, "work")),
        )
        done = subprocess.run(
            [*prefix, sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": parent, **environment},
        )
    found, reason, surprise = json.loads(done.stdout)
    return found, reason, surprise


def test_a_user_as_text() -> None:
    """A user is read as it was written."""
    for user in (JobUser(60706), JobUser(7, (44, 109))):
        assert JobUser.parse(str(user)) == user
