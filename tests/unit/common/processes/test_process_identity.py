"""Knowing a process again."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from dioptra_worker.common.processes import process_identity
from dioptra_worker.common.processes.process_identity import (
    ProcessId,
    has_ended,
    identify,
    send,
    wait_gone,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

# Of this process alone: pytest-xdist runs these tests side by side.
MARKER = f"dioptra-unit-test-marker-{uuid.uuid4().hex}"
needs_ps = pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, with a child, that ends only when told."""
    program = """
import subprocess
with subprocess.Popen(["sleep", "60"]):
    print("ready", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"DIOPTRA_UNIT_TEST": MARKER},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        # `exec` lets Popen return a moment before /proc shows the new environment.
        until = time.monotonic() + 5
        while (
            len(process_identity.find_by_environment(MARKER)) < 2
            and time.monotonic() < until
        ):
            time.sleep(0.01)
        yield process
        for left in process_identity.find_by_environment(MARKER):
            send(left, signal.SIGKILL)


def test_a_mark_is_alive_as_long_as_its_process(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """A mark tells a running process from an ended one, also before it is reaped."""
    process = identify(sleeper.pid)
    assert process is not None
    assert process.is_alive()
    os.kill(sleeper.pid, signal.SIGKILL)
    assert wait_gone([process], 5) == []


def test_a_process_with_a_recycled_id_is_not_signalled(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """The same id with another start time is somebody else."""
    impostor = ProcessId(sleeper.pid, "some other time")
    assert not impostor.is_alive()
    send(impostor, signal.SIGKILL)
    time.sleep(0.2)
    assert sleeper.poll() is None


def test_a_signal_reaches_the_children(sleeper: subprocess.Popen[bytes]) -> None:
    """A signal goes to the whole group that the process leads."""
    family = process_identity.find_by_environment(MARKER)
    leader = identify(sleeper.pid)
    assert leader is not None
    send(leader, signal.SIGKILL)
    assert wait_gone(family, 5) == []
    assert len(family) == 2


def test_a_signal_can_be_for_the_leader_alone(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """A server that ends its children in its own way is left to do so."""
    leader = identify(sleeper.pid)
    assert leader is not None
    child = next(
        each for each in process_identity.find_by_environment(MARKER) if each != leader
    )
    send(leader, signal.SIGKILL, group=False)
    assert wait_gone([leader], 5) == []
    assert child.is_alive()


def test_orphans_are_found_by_their_environment(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """A child whose parent was killed is found, and so is the parent before."""
    both = process_identity.find_by_environment(MARKER)
    assert sleeper.pid in {process.pid for process in both}
    os.kill(sleeper.pid, signal.SIGKILL)
    sleeper.wait(5)
    orphans = process_identity.find_by_environment(MARKER)
    assert len(orphans) == len(both) - 1 == 1


def test_there_is_no_mark_of_a_process_that_is_not_there() -> None:
    """An id that nobody has gives no mark."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(10)
    assert identify(process.pid) is None


@pytest.mark.parametrize("hides", [True, False])
def test_who_cannot_be_looked_at_may_be_alive(
    sleeper: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    hides: bool,
) -> None:
    """Nobody takes what is its, and nobody signals who may be another by now."""
    process = identify(sleeper.pid)
    assert process is not None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(10)
    assert process_identity._has_proc() or sys.platform == "darwin"
    if hides:  # as with hidepid, or systemd's ProtectProc
        monkeypatch.setattr(process_identity, "_PROC", tmp_path)
        monkeypatch.setattr(process_identity, "_ps", lambda *_: "")
        assert has_ended(ended.pid)
    else:
        no_descriptor = Mock(side_effect=OSError(errno.EMFILE, "too many open files"))
        monkeypatch.setattr(process_identity, "_start_time_of", no_descriptor)
        assert not has_ended(ended.pid)
    assert process.is_alive()
    assert not process.is_stopped()
    assert not has_ended(process.pid)
    assert identify(process.pid) is None
    send(process, signal.SIGKILL)
    monkeypatch.undo()
    assert process.is_alive()


def test_who_does_not_go_in_time_is_returned() -> None:
    """Waiting ends at its deadline and names who is left."""
    me = identify(os.getpid())
    assert me is not None
    assert wait_gone([me], 0.1) == [me]


@needs_ps
def test_without_proc_ps_tells_the_start_time(sleeper: subprocess.Popen[bytes]) -> None:
    """What macOS uses gives a start time that stays, and none after the end."""
    start_time = process_identity._start_time_from_ps(sleeper.pid)
    assert start_time
    assert process_identity._start_time_from_ps(sleeper.pid) == start_time
    assert process_identity._start_time_from_ps(os.getpid()) is not None
    os.killpg(sleeper.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while (
        process_identity._start_time_from_ps(sleeper.pid)
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert process_identity._start_time_from_ps(sleeper.pid) is None  # a zombie by now


@needs_ps
def test_a_journey_changes_no_start_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ps` tells a start time in one time zone, wherever the machine is carried."""
    zones = []
    run = subprocess.run

    def noted(*arguments: Any, **options: Any) -> Any:
        zones.append(options["env"].get("TZ"))
        return run(*arguments, **options)

    monkeypatch.setattr(subprocess, "run", noted)
    assert process_identity._start_time_from_ps(os.getpid()) is not None
    assert zones == ["UTC0"]


@needs_ps
def test_without_proc_ps_tells_the_environment(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """What macOS uses finds the same processes as /proc."""
    found = {
        pid for pid, text in process_identity._environments_from_ps() if MARKER in text
    }
    assert {
        process.pid for process in process_identity.find_by_environment(MARKER)
    } <= found
    assert sleeper.pid in found
