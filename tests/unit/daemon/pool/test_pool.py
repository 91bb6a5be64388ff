"""A pool minds its slots: real processes, which here do what a test tells them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

POOL = """
import logging, os, subprocess, sys
from dioptra_worker.daemon.pool.pool import WorkerPool
from dioptra_worker.daemon.pool.slot import SlotSpec
from dioptra_worker.supervision.forkserver.start import ForkserverProgram

logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
code, *folders = sys.argv[1:]
specs = [
    SlotSpec(
        name=f"slot-{number}",
        program=(sys.executable, "-c", code, folder),
        options=(),
        environment=os.environ,
    )
    for number, folder in enumerate(folders, 1)
]

class Slow(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

class NoForkservers(ForkserverProgram):
    def start(self):
        raise OSError("there is no process left")

class Limited(subprocess.Popen):
    starts = 0

    def __init__(self, *arguments, **options):
        Limited.starts += 1
        if Limited.starts in map(int, os.environ["LIMITED"].split(",")):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        super().__init__(*arguments, **options)

if "LIMITED" in os.environ:
    subprocess.Popen = Limited
if "SLOW" in os.environ:
    subprocess.Popen = Slow
kind = NoForkservers if "NO_FORKSERVERS" in os.environ else ForkserverProgram
forkservers = kind(mode="shared", preload=(), grace=1.0, environment=os.environ)
sys.exit(WorkerPool(specs, forkservers).run())
"""
SLOT = """
import os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
lives = folder / "lives"
with lives.open("a") as file:
    print(os.getpid(), file=file)
times = len(lives.read_text().split())
"""
STAY = """
signal.signal(signal.SIGTERM, lambda *_: (folder.joinpath("told").touch(), sys.exit(0)))
folder.joinpath("up").touch()
time.sleep(300)
"""


ASK = """
import socket
from dioptra_worker.supervision.forkserver.start import PoolForkservers
try:
    PoolForkservers(socket.socket(fileno=int(sys.argv[-1]))).start()
except OSError as error:
    print(error, file=sys.stderr)
"""


def _pool(
    tmp_path: Path, *codes: str, **variables: str
) -> tuple[subprocess.Popen[str], list[Path]]:
    """Begin a pool whose slots run code in folders of their own."""
    folders = [tmp_path / str(number) for number in range(len(codes))]
    for folder, code in zip(folders, codes, strict=True):
        folder.mkdir()
        (folder / "code.py").write_text(SLOT + textwrap.dedent(code))
    starter = "import runpy, sys; runpy.run_path(sys.argv[1] + '/code.py')"
    process = subprocess.Popen(
        [sys.executable, "-c", POOL, starter, *map(str, folders)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **variables},
    )
    return process, folders


def _wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, paths
        time.sleep(0.02)


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, words = process.communicate(timeout=60)
    return process.returncode, words


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_all_slots(signum: signal.Signals, tmp_path: Path) -> None:
    """Each slot gets the signal, and the pool ends with the last of them."""
    stay = STAY.replace("SIGTERM", signum.name)
    process, folders = _pool(tmp_path, stay, stay)
    _wait_for(*(folder / "up" for folder in folders))
    process.send_signal(signum)
    code, _ = _end(process)
    assert code == 0
    assert all((folder / "told").exists() for folder in folders)


def test_a_slot_that_is_lost_begins_again(tmp_path: Path) -> None:
    """A slot that was killed is begun again after a pause; the others do not care."""
    process, folders = _pool(tmp_path, STAY, STAY)
    lives = folders[0] / "lives"
    _wait_for(*(folder / "up" for folder in folders))
    (folders[0] / "up").unlink()
    os.kill(int(lives.read_text()), signal.SIGKILL)
    _wait_for(folders[0] / "up")
    assert len(lives.read_text().split()) == 2
    assert len((folders[1] / "lives").read_text().split()) == 1
    process.terminate()
    code, words = _end(process)
    assert code == 0
    assert "slot slot-1 was lost (exit code 137) and begins again in 1 s" in words


@pytest.mark.parametrize("refused", ["1", "3", "3,4"])
def test_a_slot_that_cannot_be_started_is_tried_again(
    refused: str, tmp_path: Path
) -> None:
    """Where there can be no more processes for a while, the other slots go on.

    The third start is that of a slot that was lost.
    """
    process, folders = _pool(tmp_path, STAY, STAY, LIMITED=refused)
    _wait_for(*(folder / "up" for folder in folders))
    (folders[0] / "up").unlink()
    os.kill(int((folders[0] / "lives").read_text()), signal.SIGKILL)
    _wait_for(folders[0] / "up")
    assert len((folders[1] / "lives").read_text().split()) == 1
    process.terminate()
    code, words = _end(process)
    assert code == 0
    assert words.count("cannot be started now") == len(refused.split(","))


def test_a_crash_is_a_loss(tmp_path: Path) -> None:
    """A slot that ends with a traceback is begun again, too."""
    crash = "if times == 1: raise RuntimeError('a bug')\n" + STAY
    process, folders = _pool(tmp_path, crash)
    _wait_for(folders[0] / "up")
    process.terminate()
    code, words = _end(process)
    assert code == 0
    assert "was lost (exit code 1)" in words


def test_slots_that_are_done(tmp_path: Path) -> None:
    """A slot that has nothing left to do is not begun again; the last ends the pool."""
    process, folders = _pool(tmp_path, "sys.exit(0)", "time.sleep(0.5)")
    code, _ = _end(process)
    assert code == 0
    assert [len((f / "lives").read_text().split()) for f in folders] == [1, 1]


def test_a_slot_that_ends_before_it_is_heard(tmp_path: Path) -> None:
    """A slot that ends while the pool is still busy with its start ends no pool."""
    process, _ = _pool(tmp_path, "sys.exit(0)", "sys.exit(0)", SLOW="1")
    code, words = _end(process)
    assert code == 0, words


def test_a_fork_server_that_cannot_be_had(tmp_path: Path) -> None:
    """A slot that asks for a fork server when there can be none is told so."""
    process, _ = _pool(tmp_path, ASK, NO_FORKSERVERS="1")
    code, words = _end(process)
    assert code == 0, words
    assert "no fork server can be had: see the log of the pool" in words
    assert "no fork server for a slot: there is no process left" in words


def test_what_one_slot_refuses_ends_all(tmp_path: Path) -> None:
    """A login that is refused is refused for all: the pool ends, with that code."""
    refuse = "import os.path\n_ = folder.parent\n"
    refuse += "while not (folder.parent / '1' / 'up').exists(): time.sleep(0.02)\n"
    process, folders = _pool(tmp_path, refuse + "sys.exit(3)", STAY)
    code, _ = _end(process)
    assert code == 3
    assert (folders[1] / "told").exists()


def test_a_slot_about_to_begin_again_does_not_when_all_end(tmp_path: Path) -> None:
    """SIGTERM in the pause before a slot's next life is the end of it."""
    process, folders = _pool(tmp_path, "os.kill(os.getpid(), 9)", STAY)
    _wait_for(folders[1] / "up")
    time.sleep(0.2)
    process.terminate()
    code, _ = _end(process)
    assert code in {0, 137}
