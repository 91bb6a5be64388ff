"""A folder that somebody else could fill is not used: what lies there is run.

Attack: another user of the machine makes ``/tmp/dioptra-worker-<our id>`` before we do,
or a link of that name, or may write to a folder on the way to it. Promise: the daemon,
`dioptra-worker run` and the local stack end with code 2 and say which folder it is, and
nothing in it is read or run.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.files.trusted_folder import (
    UntrustedFolder,
    check,
    make_private,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).resolve().parents[2] / "entrypoints/hello-world"
SETTINGS = {
    "DIOPTRA_API": "http://127.0.0.1:9",
    "DIOPTRA_WORKER_USERNAME": "worker",
    "DIOPTRA_WORKER_PASSWORD": "secret",
    "RQ_REDIS_URI": "redis://127.0.0.1:9",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9",
}
OTHER = 54321
"""A user that is neither we nor root."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def _open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def _of_another(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, OTHER, -1)


def _below_another(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder.parent, OTHER, -1)


def _below_what_is_open(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    folder.parent.chmod(0o777)


def _link_of_another(folder: Path) -> None:
    target = folder.parent.parent / "target"
    target.mkdir(mode=0o700)
    folder.symlink_to(target)
    os.chown(folder, OTHER, -1, follow_symlinks=False)


def _link_to_what_is_open(folder: Path) -> None:
    target = folder.parent.parent / "target"
    _open_to_all(target)
    folder.symlink_to(target)


DEEDS = [
    _open_to_all,
    _below_what_is_open,
    _link_to_what_is_open,
    pytest.param(_of_another, marks=needs_root),
    pytest.param(_below_another, marks=needs_root),
    pytest.param(_link_of_another, marks=needs_root),
]


def _command(
    *arguments: str, temporary: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("dioptra-worker")
    return subprocess.run(
        [str(program), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(temporary.parent),
            "TMPDIR": str(temporary),
            **environment,
        },
        cwd=temporary.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(name="temporary")
def _temporary(tmp_path: Path) -> Path:
    """A folder for everybody, as /tmp is."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.mark.parametrize("deed", DEEDS)
def test_the_work_folder_was_there_before(
    deed: Callable[[Path], None], temporary: Path
) -> None:
    """The daemon and a run end with 2 and name the folder; nothing is put there."""
    folder = temporary / f"dioptra-worker-{os.getuid()}"
    deed(folder)
    for arguments in (["start", "cpu"], ["run", str(EXAMPLE)]):
        done = _command(*arguments, temporary=temporary, **SETTINGS)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert str(folder) in done.stderr
        assert done.stderr.count("\n") == 1
    assert not list(folder.iterdir())


@pytest.mark.parametrize("command", ["env", "status", "down"])
def test_the_stack_was_there_before(command: str, temporary: Path) -> None:
    """What names programs to be run is not read where others could have written it."""
    folder = temporary / "stack"
    _open_to_all(folder)
    (folder / "stack.json").write_text('{"peer_python": "/tmp/evil"}')
    done = _command("local", command, "--dir", str(folder), temporary=temporary)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"others may write to {folder}" in done.stderr


def test_the_stacks_cache_was_there_before(temporary: Path) -> None:
    """An environment that others could have filled is not run for the REST API."""
    cache = temporary / "cache"
    _open_to_all(cache)
    done = _command(
        *("local", "up", "--dir", str(temporary.parent / "stack")),
        *("--cache", str(cache)),
        temporary=temporary,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"others may write to {cache}" in done.stderr


def test_what_is_made_is_private(tmp_path: Path) -> None:
    """All that we make on the way is for us alone, whatever the umask."""
    before = os.umask(0)
    try:
        make_private(tmp_path / "one" / "two" / "three")
    finally:
        os.umask(before)
    for folder in ("one", "one/two", "one/two/three"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


def test_common_ways_are_trusted(temporary: Path) -> None:
    """A folder of ours in one with the sticky bit is fine, and so are links of ours."""
    make_private(temporary / "ours")
    (temporary / "link").symlink_to("ours")
    (temporary / "up").symlink_to(temporary / "ours" / ".." / "link")
    check(temporary / "link")
    check(temporary / "up" / ".." / "ours")


def test_links_in_a_circle_are_no_folder(tmp_path: Path) -> None:
    """Links that lead to each other end in an error, and not never."""
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        check(tmp_path / "one")


def test_what_root_mounts_for_everybody_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume in a pod is writable for everybody, and there is no other kind."""
    if os.geteuid():
        pytest.skip("needs a folder of root's")
    volume = tmp_path / "volume"
    _open_to_all(volume)
    with pytest.raises(UntrustedFolder):
        make_private(volume / "jobs")
    mounted = os.fspath(volume)
    monkeypatch.setattr(os.path, "ismount", lambda path: os.fspath(path) == mounted)
    make_private(volume / "jobs")
