"""A service's processes, without a service: nobody else's are touched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.processes.process_identity import identify, wait_gone
from dioptra_worker.tools.local.config import SERVICES, VALKEY, StackConfig
from dioptra_worker.tools.local.errors import PortTaken
from dioptra_worker.tools.local.files import tail
from dioptra_worker.tools.local.services.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A service that was never started."""
    ports = dict.fromkeys(SERVICES, 20061)
    return Service(VALKEY, StackConfig(tmp_path, ports, tmp_path / "python"))


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of the stack's."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


def test_a_recycled_process_id_is_left_alone(
    service: Service, stranger: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """A record whose process ended, and whose id a stranger has, ends nobody."""
    record = tmp_path / "valkey.pid.json"
    record.write_text(json.dumps({"pid": stranger.pid, "birth": "long ago"}))
    assert service.pid is None
    service.pause()
    service.stop()
    service.kill()
    time.sleep(0.1)
    assert stranger.poll() is None
    current = identify(stranger.pid)
    assert current is not None
    assert current.is_alive()
    assert not record.exists()


def test_processes_without_a_record_are_ended(service: Service) -> None:
    """What was started by a command that died before writing it down is found."""
    name = f"{service.config.token}/{VALKEY}"
    with subprocess.Popen(
        [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"],
        env=os.environ | {"DIOPTRA_LOCAL_STACK": name},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as lost:
        assert lost.stdout is not None
        lost.stdout.readline()  # before that its environment may not be there to read
        process = identify(lost.pid)
        assert process is not None
        service.stop()
        left = wait_gone([process], 60)
        lost.kill()
        assert left == []


def test_another_services_processes_are_not(service: Service) -> None:
    """The mark of one service does not stand for another of the same stack."""
    name = f"{service.config.token}/api"
    with subprocess.Popen(
        ["sleep", "60"], env=os.environ | {"DIOPTRA_LOCAL_STACK": name}
    ) as other:
        service.kill()
        time.sleep(0.1)
        assert other.poll() is None
        other.kill()


def test_a_recorded_process_is_known_again(
    service: Service, stranger: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """The record of a running process gives its id, and `health` says the rest."""
    process = identify(stranger.pid)
    assert process is not None
    record = {"pid": process.pid, "birth": process.start_time}
    (tmp_path / "valkey.pid.json").write_text(json.dumps(record))
    assert service.pid == stranger.pid
    health = service.health(timeout=1)
    assert not health.healthy
    assert "refused" in health.problem
    service.kill()
    assert wait_gone([process], 5) == []
    assert service.health().problem == "not running"


def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    """A stranger's listener is named by service and port, with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ports = dict.fromkeys(SERVICES, port)
        service = Service(VALKEY, StackConfig(tmp_path, ports, tmp_path / "python"))
        with pytest.raises(PortTaken, match=rf"Port {port} .*'valkey'.*local down"):
            service.start()


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    """The last lines are shown, whatever bytes they hold; no file is no lines."""
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_bytes(b"x" * 40000 + b"\n" + b"\xff\n" + b"last\n")
    assert tail(log, lines=2).splitlines() == ["\ufffd", "last"]
