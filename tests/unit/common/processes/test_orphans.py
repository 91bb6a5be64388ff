"""Whoever adopts orphans ends them, and nothing that it has started itself."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent

import pytest

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
