"""Who kills a group or orphans leaves the trackers of shared memory their work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        sys.platform != "linux", reason="other systems do not show what is a tracker"
    ),
]

ADOPTER = """
import json, os, subprocess, sys
from dioptra_worker.common.processes.orphans import adopt_orphans, kill_orphans
from dioptra_worker.common.processes.resource_trackers import kill_group

adopt_orphans()
leader = subprocess.Popen(
    [sys.executable, "-c", '''
import os, time
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=10)
if not os.fork():
    print(block.name, flush=True)
    if "away" in os.sys.argv:
        os.setsid()
    print(os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
''', *sys.argv[1:]],
    start_new_session=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
)
name, child = leader.stdout.readline().decode().strip(), int(leader.stdout.readline())
kill_group(leader.pid)
os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
kill_orphans([leader.pid])
print(json.dumps([name, os.path.exists(f"/proc/{child}")]))
leader.wait()
"""


@pytest.mark.parametrize("arguments", [[], ["away"]])
def test_a_killed_groups_shared_memory_is_removed(arguments: list[str]) -> None:
    """Leader and child are dead, in whatever session, and their block is gone."""
    done = subprocess.run(
        [sys.executable, "-c", ADOPTER, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    name, is_child_there = json.loads(done.stdout)
    assert not is_child_there
    assert not Path("/dev/shm", name).exists()  # noqa: S108 - where Linux shows it
