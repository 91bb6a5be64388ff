"""The units for systemd and launchd."""

from __future__ import annotations

import configparser
import plistlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.start import start
from dioptra_worker.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
SERVICE = ROOT / "deploy/systemd/dioptra-worker@.service"
AGENT = ROOT / "deploy/launchd/local.dioptra-worker.plist"


class _Several(dict[str, Any]):
    """Keeps every value of a key that is given several times, as systemd does."""

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self and isinstance(value, list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def _service() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(
        dict_type=_Several, strict=False, delimiters="=", comment_prefixes="#"
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SERVICE, encoding="utf-8")
    return parser


def _needed() -> float:
    fields = Settings.model_fields
    return float(fields["shutdown_grace"].default + fields["kill_grace"].default)


def test_service_runs_the_daemon() -> None:
    """The service starts the daemon itself, with the queue that its name tells."""
    words = _service()["Service"]["ExecStart"].split()
    assert Path(words[0]).name == "dioptra-worker-v1"
    context = start.make_context(words[0], words[1:])
    assert context.params["queues"] == ("%i",)
    assert _service()["Service"]["Type"] == "exec"


def test_service_stops_as_the_worker_does() -> None:
    """The daemon alone is told to stop, and has more time than it may take."""
    service = _service()["Service"]
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > _needed() + 5
    assert service["OOMPolicy"] == "continue"


def test_service_does_not_repeat_what_cannot_work() -> None:
    """Exit codes that a new start cannot mend do not cause one."""
    prevented = _service()["Service"]["RestartPreventExitStatus"].split()
    assert prevented == [str(int(ExitCode.USAGE)), str(int(ExitCode.REFUSED))]


@pytest.mark.process
@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd here"
)
def test_systemd_understands_the_service(tmp_path: Path) -> None:
    """Of the unit systemd itself has nothing to say, once its program is there."""
    program = tmp_path / "dioptra-worker-v1"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = SERVICE.read_text(encoding="utf-8")
    unit = tmp_path / "dioptra-worker@cpu.service"
    unit.write_text(
        text.replace("/opt/dioptra-worker/bin/dioptra-worker-v1", str(program))
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if "dioptra-worker" in line]
    assert told == []
    assert done.returncode == 0, done.stderr


def test_agent() -> None:
    """The agent is a property list, runs the daemon, and gives it all that it needs."""
    agent = plistlib.loads(AGENT.read_bytes())
    program, *arguments = agent["ProgramArguments"]
    assert Path(program).name == "dioptra-worker-v1"
    assert start.make_context(program, arguments).params["queues"] == ("local",)
    given = {name.removesuffix("_FILE") for name in agent["EnvironmentVariables"]}
    fields = Settings.model_fields.values()
    assert {str(f.alias) for f in fields if f.is_required()} <= given
    assert agent["ExitTimeOut"] > _needed() + 5
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["Label"] == AGENT.stem
