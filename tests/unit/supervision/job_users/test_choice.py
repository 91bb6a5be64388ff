"""Jobs have users of their own where that is possible and nothing would be missed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins import open_home

from dioptra_worker.homes import DOWNLOAD_DIR
from dioptra_worker.supervision.job_users.choice import choose_job_users
from dioptra_worker.supervision.job_users.downloads import is_shared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="jobs have users of their own on Linux only"
)

CHOOSE = """
import json, os, sys
from pathlib import Path
from dioptra_worker.homes import outside_of_jobs
from dioptra_worker.supervision.job_users.choice import choose_job_users
if {uid}:
    os.setgroups([]), os.setgid({uid}), os.setuid({uid})
choice = choose_job_users(
    {wanted!r},
    slots={slots},
    work_dir=Path({folder!r}),
    environment=outside_of_jobs(os.environ),
)
uid = choice.users.take().uid if choice.users else None
print(json.dumps([uid, choice.reason, choice.is_surprise]))
"""


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
        ("auto", 0, 500, None, "500 slots need more users than 477"),
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
    found, reason, _ = _choose(
        "auto", environment={"AWS_WEB_IDENTITY_TOKEN_FILE": str(secret)}
    )
    assert found is None
    assert f"cannot read {secret}, which jobs need" in reason


@pytest.fixture(name="home")
def _home() -> Iterator[Path]:
    """A worker's home that others may enter, as an image's usually is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.process
@pytest.mark.parametrize(
    ("filled", "variables", "words"),
    [
        ("data/x", {}, "cannot write to {}/data, which is in the worker's home"),
        (".ssh/id", {}, "cannot write to {}/.ssh, which is in the worker's home"),
        (".cache/torch/x", {}, "{}/.cache/torch holds downloads that jobs' users"),
        (".m/x", {"MODELS": "{}/.m"}, ""),
        (".m/x", {"HF_HOME": "{}/.m"}, "cannot write to {}/.m, which HF_HOME names"),
        (
            ".m/x",
            {"DIOPTRA_WORKER_DOWNLOAD_DIR": "{}/.m"},
            "which holds jobs' downloads",
        ),
        (".cache/pip/x", {}, ""),
    ],
)
def test_what_jobs_would_miss(
    filled: str, variables: dict[str, str], words: str, home: Path
) -> None:
    """Jobs stay the worker's user, unless somebody has asked by a number."""
    (home / filled).parent.mkdir(parents=True, exist_ok=True)
    (home / filled).touch()
    environment = {name: value.format(home) for name, value in variables.items()}
    environment["HOME"] = str(home)
    found, reason, surprise = _choose("auto", environment=environment)
    assert words.format(home) in reason
    assert (found is None) == surprise == bool(words)


@pytest.mark.process
def test_whoever_names_a_number_decides(home: Path) -> None:
    """What jobs may have had as the worker's user is not looked at then."""
    (home / "data").mkdir()
    (home / ".cache/torch/hub").mkdir(parents=True)
    found, reason, _ = _choose("70000", environment={"HOME": str(home)})
    assert found, reason


@pytest.mark.process
def test_files_that_several_slots_write_to(home: Path) -> None:
    """One slot's user could not change what another's has written."""
    cache = home / ".models"
    cache.mkdir()
    cache.chmod(0o777)
    given = {"HOME": str(home), "HF_HOME": str(cache)}
    assert _choose("auto", environment=given)[0]
    found, reason, _ = _choose("auto", slots=2, environment=given)
    assert found is None
    assert (
        f"the users of 2 slots could not change each other's files in {cache}" in reason
    )


@pytest.mark.process
def test_what_is_mounted() -> None:
    """A volume that the worker alone writes to keeps jobs its user."""
    volume = ["mount -t tmpfs -o mode=755 none /mnt", "mkdir '/mnt/my data'"]
    mounted = "mount -t tmpfs -o mode={} none '/mnt/my data'".format
    kept, reason, _ = _choose("auto", before=[*volume, mounted("755")])
    assert kept is None
    assert "cannot write to /mnt/my data, which is mounted" in reason
    found, reason, _ = _choose("auto", before=[*volume, mounted("1777")])
    assert found, reason
    closed = [*volume, mounted("1777"), "touch '/mnt/my data/x'"]
    kept, reason, _ = _choose("auto", before=closed)
    assert kept is None
    assert "cannot write to /mnt/my data/x, which is mounted" in reason
    frozen = "mount -o remount,ro,mode=755 '/mnt/my data'"
    found, reason, _ = _choose("auto", before=[*closed, frozen])
    assert found, reason


@pytest.mark.process
def test_a_folder_for_downloads_that_is_empty(home: Path) -> None:
    """It is shared by all users of jobs, and stays so once it is filled."""
    given = {"HOME": str(home), DOWNLOAD_DIR: str(home / "downloads")}
    assert _choose("auto", slots=2, environment=given)[0]
    group = (home / "downloads").stat().st_gid
    assert is_shared(home / "downloads", group)
    (home / "downloads" / "model").touch()
    found, reason, _ = _choose("auto", slots=2, environment=given)
    assert found, reason
    (home / "downloads").chmod(0o755)
    assert not is_shared(home / "downloads", group)
    assert not _choose("auto", slots=1, environment=given)[0]


def _choose(
    wanted: str,
    *,
    uid: int = 0,
    slots: int = 1,
    folder: Path | None = None,
    before: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[int | None, str, bool]:
    prefix = open_home.prefix()
    if isinstance(prefix, str):
        pytest.skip(prefix)
    if before:
        script = "; ".join([*before, 'exec "$@"'])
        private = ["unshare", "--mount", "--propagation", "private"]
        prefix = [*private, "sh", "-ec", script, "sh", *prefix]
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
            env={"PATH": "/usr/bin:/bin", "HOME": parent, **(environment or {})},
        )
    found, reason, surprise = json.loads(done.stdout)
    if "which is mounted" in reason and not before:
        pytest.skip(f"this machine has a volume: {reason}")
    return found, reason, surprise
