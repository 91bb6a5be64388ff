"""``dioptra-worker demo``, which ``make demo`` calls, as a process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.plugins.stack import cache_folder
from tests.plugins.user_locks import assert_locks_only
from tests.plugins.worker_process import alive, wait_until_gone

from dioptra_worker.supervision.job_users.assignment import LOCKS

PROGRAM = Path(sys.executable).with_name("dioptra-worker")
EXAMPLES = Path(__file__).resolve().parents[2] / "entrypoints"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _start(folder: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a demo whose folders all lie in one of ours."""
    return subprocess.Popen(
        [PROGRAM, "demo", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "DIOPTRA_WORKER_CACHE_DIR": str(cache_folder()),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _worker_pid(told: str) -> int:
    found = re.search(r"start the worker.*\(pid (\d+)\)", told)
    assert found, told
    return int(found[1])


def _nothing_left(folder: Path, told: str) -> None:
    """The worker has ended, and whatever the demo has started; its folder is gone."""
    assert not alive(_worker_pid(told))
    assert wait_until_gone(set(_descended(folder))) == set()
    assert list(folder.glob("dioptra-demo-*")) == []


def _descended(folder: Path) -> list[int]:
    """The processes that have a demo's home, which all of them inherit (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"HOME={folder}".encode() in environment:
            found.append(int(entry.parent.name))
    return found


def test_demo(tmp_path: Path) -> None:
    """It runs five jobs, tells what came of each, succeeds, and leaves nothing."""
    demo = _start(tmp_path)
    told, _ = demo.communicate(timeout=250)
    assert demo.returncode == 0, told
    assert "5 of 5 jobs ended as intended" in told
    for words in (
        "1. Hello, Dioptra!",
        "read input artifact 'readings'",
        "accuracy_attacked",
        "accuracy-plot.png",
        "✓ failed, as intended",
        "ZeroDivisionError: division by zero",
        "demo --keep",
    ):
        assert words in told
    assert len(re.findall(r"artifacts .*s3://", told)) == 4
    assert "http://127.0.0.1" not in told.partition("start the worker")[2]  # dead soon
    assert "Not run here: batch-evaluation" in told
    _, _, following = told.partition("\nNext\n")
    assert " run " in following
    # Libraries have left nothing in the home of who runs it, which is also where
    # temporary files are: locks of jobs' users stay there, for the next worker.
    assert {path.name for path in tmp_path.iterdir()} <= {LOCKS.name}
    assert_locks_only(tmp_path / LOCKS.name)
    assert "\x1b" not in told
    _nothing_left(tmp_path, told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "moment"),
    [
        (signal.SIGINT, "✓ start the worker"),
        (signal.SIGINT, "… started"),
        (signal.SIGTERM, "… started"),
        (signal.SIGINT, "✓ finished"),
    ],
)
def test_interrupted(tmp_path: Path, signum: int, moment: str) -> None:
    """Interrupted beside or within a job, it ends with code 130 and leaves nothing."""
    demo = _start(tmp_path)
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if moment in line:
            demo.send_signal(signum)
            break
    rest, _ = demo.communicate(timeout=60)
    told = "".join(lines) + rest
    assert demo.returncode == 130, told
    assert "everything was taken down" in told
    assert "Traceback" not in told
    assert {path.name for path in tmp_path.iterdir()} <= {LOCKS.name}
    _nothing_left(tmp_path, told)


@pytest.mark.slow
def test_a_job_that_does_not_end_as_intended(tmp_path: Path) -> None:
    """When one job's outcome is not what it was to be, the demo's exit code is 1."""
    examples = tmp_path / "examples"
    shutil.copytree(EXAMPLES, examples)
    tasks = examples / "failing-job/plugins/failing/tasks.py"
    tasks.write_text(tasks.read_text().replace("list[float] = []", "list[float] = [1]"))
    demo = _start(tmp_path, "--entrypoints", examples)
    told, _ = demo.communicate(timeout=250)
    assert demo.returncode == 1, told
    assert "finished, but it was to be failed" in told
    assert "4 of 5 jobs ended as intended" in told
    _nothing_left(tmp_path, told)


def test_no_examples(tmp_path: Path) -> None:
    """Without anything to import it fails at once, with a sentence."""
    demo = _start(tmp_path, "--entrypoints", tmp_path)
    told, _ = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert "has no dioptra.toml" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_keep(tmp_path: Path) -> None:
    """With --keep stack and worker go on, until what it says to type is typed."""
    demo = _start(tmp_path, "--keep")
    told, _ = demo.communicate(timeout=250)
    try:
        assert demo.returncode == 0, told
        assert alive(_worker_pid(told))
        assert len(re.findall(r"MLflow +http://.*/runs/[0-9a-f]{32}", told)) == 5
        assert len(_descended(tmp_path)) > 4
    finally:
        stop = re.search(r"to stop +(.*)", told)
        assert stop, told
        subprocess.run(["sh", "-c", stop[1]], check=True, timeout=60)
    wait_until_gone({_worker_pid(told)})
    _nothing_left(tmp_path, told)
