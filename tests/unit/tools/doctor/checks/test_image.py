"""``dioptra-worker doctor --image``: what an image holds, before there is a service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.settings import Settings
from dioptra_worker.tools.doctor.checks import image
from dioptra_worker.tools.doctor.checks.configuration import examples, read_settings

if TYPE_CHECKING:
    from dioptra_worker.tools.doctor import Finding

PROGRAM = Path(sys.executable).with_name("dioptra-worker")


def _settings(preload: str = "") -> Settings:
    given: dict[str, Any] = {**examples({}), "DIOPTRA_WORKER_PRELOAD": preload}
    return Settings(**given)


def _finding(name: str, settings: Settings | None = None) -> Finding:
    return {f.name: f for f in image.check(settings or _settings())}[name]


@pytest.mark.process
def test_needs_no_settings(tmp_path: Path) -> None:
    """Without settings it says what is to be set, asks no service, and ends well."""
    answer = subprocess.run(
        [PROGRAM, "doctor", "--image", "cpu"],
        env={
            "PATH": f"{PROGRAM.parent}:/usr/bin:/bin",
            "DIOPTRA_WORKER_WORK_DIR": str(tmp_path / "work"),
        },
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "still to be set: DIOPTRA_WORKER_USERNAME, " in answer.stdout
    assert "✓ runner" in answer.stdout
    assert "by fork: the first after" in answer.stdout
    for service in ("Redis", "Dioptra API", "MLflow", "artifact store"):
        assert f" {service} " not in answer.stdout


def test_malformed_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that an image has wrong is a failure, though others are not set yet."""
    monkeypatch.setenv("DIOPTRA_WORKER_KILL_GRACE", "soon")
    settings, findings = read_settings(examples({}))
    assert settings is None
    (finding,) = findings
    assert finding.detail.startswith("DIOPTRA_WORKER_KILL_GRACE: 'soon'")


def test_settings_that_are_there_need_no_stand_in() -> None:
    """What is set, also as a file, is not told as missing."""
    told = examples({"DIOPTRA_API": "http://x", "DIOPTRA_WORKER_PASSWORD_FILE": "/p"})
    assert "DIOPTRA_API" not in told
    assert "DIOPTRA_WORKER_PASSWORD" not in told
    assert "RQ_REDIS_URI" in told


def test_program_of_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform's program of the same name is found out, and so is none at all."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _finding(image.PROGRAM).status == "fail"
    program = tmp_path / image.PROGRAM
    program.write_text("#!/usr/bin/python3\nfrom dioptra.rq.cli import main\n")
    program.chmod(0o755)
    assert _finding(image.PROGRAM).status == "fail"
    assert "not of this package" in _finding(image.PROGRAM).detail
    monkeypatch.setenv("PATH", str(PROGRAM.parent))
    assert _finding(image.PROGRAM).status == "ok"


def test_preload() -> None:
    """A module to be preloaded that is not installed fails, and is named alone."""
    found = _finding("preload", _settings("json.decoder, no_such_module.deep"))
    assert (found.status, found.detail) == (
        "fail",
        "not installed: no_such_module.deep",
    )
    assert _finding("preload", _settings("json.decoder")).status == "ok"


def test_user() -> None:
    """Root is warned of; any other user is told by number."""
    found = _finding("user")
    if os.getuid() == 0:
        assert (found.status, found.detail[:4]) == ("warn", "root")
    else:
        assert (found.status, found.detail.split(",")[0]) == ("ok", str(os.getuid()))
