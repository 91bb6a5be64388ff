"""Who a job's processes are: given up for good, or not at all."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
from tests.plugins import open_home

from dioptra_worker.common.processes.job_user import (
    JobUser,
    receive_user,
    send_user,
)

BECOME = """
import json, os
from dioptra_worker.common.processes.job_user import (
    JobUser, become, missing_capabilities
)
become(JobUser(60706, (44,)), stay_able_to_change={stay})
kept = len(missing_capabilities())
try:
    os.setuid(0)
except OSError as error:
    back = type(error).__name__
else:
    back = "root"
privileges = [line for line in open("/proc/self/status") if line.startswith("NoNewPr")]
print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), kept, back,
                  privileges[0].split()[1]]))
"""


@pytest.mark.parametrize("user", [None, JobUser(60706), JobUser(1, (44, 109))])
def test_a_user_travels_with_a_descriptor(user: JobUser | None) -> None:
    """What was sent is received, in one piece with the descriptor."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_user(ours, user, ours.fileno())
        found, descriptors = receive_user(theirs)
        assert found == user
        with socket.socket(fileno=descriptors[0]):
            pass
        ours.close()
        assert receive_user(theirs) == (None, [])


@pytest.mark.process
@pytest.mark.parametrize(
    ("stay", "missing", "back"), [(False, 6, "PermissionError"), (True, 3, "root")]
)
def test_to_be_another_user_is_for_good(stay: bool, missing: int, back: str) -> None:
    """No right is left, nor a way back, unless it is to be changed once more."""
    prefix = open_home.prefix()
    if isinstance(prefix, str):
        pytest.skip(prefix)
    done = subprocess.run(
        [*prefix, sys.executable, "-c", BECOME.format(stay=stay)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    uids, gids, groups, left, found, no_new = json.loads(done.stdout)
    expected = [0, 0, 0] if back == "root" else [60706] * 3
    assert uids == expected
    assert gids == [60706] * 3
    assert groups == [44]
    assert (left, found, no_new) == (missing, back, "1")
