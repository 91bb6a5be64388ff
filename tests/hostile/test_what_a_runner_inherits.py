"""A job has nothing of the fork server's, and nothing of it outlives the job.

Attack: a task lists its descriptors; reads the environment and memory of the process
that made it; leaves its session, forks twice and kills that process, so that nobody is
left to end what it left behind.
Promise: a job has standard streams, its socket to the worker and what Python keeps; the
fork server cannot be looked into; whoever is above it ends the leftovers (Linux).
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING

import pytest
from tests.plugins.until import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hostile.conftest import Ran

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="/proc shows what this is about"
)


def test_a_job_has_its_own_descriptors_only(run_task: Callable[[str], Ran]) -> None:
    """One socket, to the worker; nothing that waits; no pipe but its two streams."""
    ran = run_task("""
        @pyplugs.register
        def act():
            found = {}
            for name in os.listdir("/proc/self/fd"):
                try:
                    found[name] = os.readlink(f"/proc/self/fd/{name}")
                except OSError:
                    continue
            print("DESCRIPTORS", __import__("json").dumps(found), "END")
        """)
    assert ran.status == "finished"
    found = _said(ran, "DESCRIPTORS")
    kinds = [kind.split(":")[0] for fd, kind in found.items() if int(fd) > 2]
    assert kinds.count("socket") == 1, found
    assert "anon_inode" not in kinds, found
    assert "pipe" not in kinds, found


def test_a_job_cannot_look_into_the_fork_server(
    run_task: Callable[[str], Ran],
) -> None:
    """The process that later jobs are made from can be neither read nor changed."""
    ran = run_task("""
        @pyplugs.register
        def act():
            parent = os.getppid()
            found = {}
            for name in ("environ", "mem", "maps"):
                try:
                    with open(f"/proc/{parent}/{name}", "rb") as file:
                        found[name] = file.read(1) is not None
                except OSError as error:
                    found[name] = type(error).__name__
            print("REFUSED", __import__("json").dumps(found), "END")
        """)
    assert ran.status == "finished"
    assert _said(ran, "REFUSED") == dict.fromkeys(
        ("environ", "mem", "maps"), "PermissionError"
    )


@pytest.mark.process
def test_nothing_outlives_the_fork_server(
    run_task: Callable[[str], Ran], tmp_path: Path
) -> None:
    """A process in a session of its own ends, though the fork server was killed."""
    mark = tmp_path / "left"
    run_task(f"""
        @pyplugs.register
        def act():
            if not os.fork():
                os.setsid()
                if not os.fork():
                    with open({str(mark)!r}, "w") as file:
                        file.write(str(os.getpid()))
                    time.sleep(300)
                os._exit(0)
            while not os.path.exists({str(mark)!r}) or not open({str(mark)!r}).read():
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(300)
        """)
    pid = int(mark.read_text())
    until(lambda: not _is_alive(pid), seconds=5)


@pytest.mark.parametrize("value", ["2", "1"])
def test_a_library_has_read_its_variables(
    run_task: Callable[..., Ran], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task sets too late for it is told; what the worker had set is not."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ran = run_task(
        f"""
        os.environ["OMP_NUM_THREADS"] = {value!r}
        import numpy

        @pyplugs.register
        def act():
            return os.environ["OMP_NUM_THREADS"]
        """,
        *("--preload", "numpy"),
    )
    assert ran.status == "finished", ran.text
    told = "the plugin sets OMP_NUM_THREADS too late for numpy" in ran.text
    assert told == (value != "1")


def _said(ran: Ran, word: str) -> dict[str, str]:
    text = ran.text.replace('\\"', '"')
    found = re.search(word + r" (\{.*?\}) END", text)
    assert found, ran.text
    said: dict[str, str] = json.loads(found[1])
    return said


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
