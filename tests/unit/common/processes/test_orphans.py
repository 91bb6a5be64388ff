"""Whoever adopts orphans ends them, and nothing that it has started itself."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent

import pytest

from dioptra_worker.common.processes.orphans import REAP_TIMEOUT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems adopt no orphans"
)

ADOPTER = """
import json, os, subprocess, sys, time
from dioptra_worker.common.processes.orphans import adopt_orphans, kill_orphans

adopt_orphans()
own = subprocess.Popen(["sleep", "60"])
known = subprocess.Popen(["sleep", "60"], start_new_session=True)
lost = subprocess.Popen(
    [sys.executable, "-c", '''
import os, subprocess
print(subprocess.Popen(["sleep", "60"], start_new_session=True).pid, flush=True)
os.kill(os.getpid(), 9)
'''],
    stdout=subprocess.PIPE,
)
orphan = int(lost.stdout.readline())
lost.wait()
count = kill_orphans([known.pid])
left = [process.poll() is None for process in (own, known)]
for process in (own, known):
    process.kill()
print(json.dumps([count, os.path.exists(f"/proc/{orphan}"), left]))
"""


STUCK = """
import json, os, subprocess, sys, time
from dioptra_worker.common.processes.orphans import adopt_orphans, kill_orphans

adopt_orphans()
os.kill, kill = (lambda *_: None), os.kill  # as if the kernel held them
pids = [subprocess.Popen(["sleep", "60"], start_new_session=True).pid for _ in range(4)]
stuck, took, counts = set(), [], []
for _ in range(2):
    began = time.monotonic()
    counts.append(kill_orphans([], stuck=stuck))
    took.append(time.monotonic() - began)
held = stuck == set(pids)
for pid in pids:
    kill(pid, 9)
while stuck:
    kill_orphans([], stuck=stuck)
print(json.dumps([counts, took, held]))
"""


@pytest.mark.process
def test_those_that_cannot_die_are_waited_for_once() -> None:
    """Some that the kernel holds take a second in all, and none the next time."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(STUCK)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    counts, took, held = json.loads(done.stdout)
    assert counts == [4, 0]
    assert held
    assert took[0] < REAP_TIMEOUT + 1.5
    assert took[1] < REAP_TIMEOUT / 2


@pytest.mark.process
def test_orphans_are_ended_and_what_was_started_here_goes_on() -> None:
    """A process that left its session and lost its parent is killed and reaped."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(ADOPTER)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert json.loads(done.stdout) == [1, False, [True, True]]
