"""Single checks against what can be had without a service: disk, GPU, clock, names."""

from __future__ import annotations

import re
import socket
import stat
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.common.text.masking import Mask
from dioptra_worker.settings import Settings
from dioptra_worker.tools.doctor import all_checks, brief, examine
from dioptra_worker.tools.doctor.checks import (
    api,
    broker,
    disk,
    gpu,
    job_users,
    machine,
    store,
    tracking,
)
from dioptra_worker.tools.doctor.checks.configuration import (
    misspelt,
    read_settings,
    unneeded,
)

if TYPE_CHECKING:
    from pathlib import Path

REQUIRED: dict[str, Any] = {
    "DIOPTRA_WORKER_USERNAME": "worker",
    "DIOPTRA_WORKER_PASSWORD": "swordfish",
    "DIOPTRA_API": "http://localhost:5000",
    "RQ_REDIS_URI": "redis://:hush-hush@localhost:6379/0",
    "MLFLOW_TRACKING_URI": "http://somebody:open%20sesame@localhost:35000",
    "MLFLOW_S3_ENDPOINT_URL": "http://localhost:39000",
}


# -- settings --------------------------------------------------------------------


def test_every_unusable_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each missing or malformed variable is a failure with an example as its fix."""
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DIOPTRA_WORKER_PASSWORD")
    monkeypatch.setenv("DIOPTRA_API", "localhost")
    settings, findings = read_settings()
    assert settings is None
    assert [finding.status for finding in findings] == ["fail", "fail"]
    assert findings[0].detail.startswith("DIOPTRA_WORKER_PASSWORD: not set")
    assert findings[1].fix == "set DIOPTRA_API=http://localhost:5000"


def test_a_setting_of_the_platforms_worker_is_told() -> None:
    """What macOS needs of the platform's worker is neither needed here nor wrong."""
    [finding] = unneeded(["OBJC_DISABLE_INITIALIZE_FORK_SAFETY", "PATH"])
    assert finding.status == "ok"
    assert "not needed, and harmless" in finding.detail
    assert list(unneeded(["PATH"])) == []


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("DIOPTRA_WORKER_KILLGRACE", "DIOPTRA_WORKER_KILL_GRACE"),
        ("DIOPTRA_WORKER_PRELOADS", "DIOPTRA_WORKER_PRELOAD"),
        ("DIOPTRA_WORKER_PASWORD_FILE", "DIOPTRA_WORKER_PASSWORD_FILE"),
    ],
)
def test_a_misspelt_setting_is_told(variable: str, meant: str) -> None:
    """A name that is nearly a setting's has no effect, which nobody expects."""
    [finding] = misspelt([variable, "PATH"])
    assert finding.status == "warn"
    assert finding.detail == f"{variable} is none, and has no effect"
    assert finding.fix == f"did you mean {meant}?"


def test_names_of_somebody_else_are_left_alone() -> None:
    """Settings, what our other commands read, and other names are not told."""
    fields = Settings.model_fields.values()
    known = {str(field.alias) for field in fields}
    others = {"LOCAL_DIR", "PEER_PYTHON", "RUN_ID", "PASSWORD_FILE", "TEAM"}
    names = known | {f"DIOPTRA_WORKER_{name}" for name in others} | {"RQ_REDIS_URL"}
    assert list(misspelt(names)) == []


def test_without_settings_the_machine_is_checked_all_the_same() -> None:
    """Unusable settings leave Python and GPU checked and all else told as not tried."""
    chains = all_checks(None, [], environment={}, timeout=5, deep=True)
    results = {result.name: result for result in examine(chains, timeout=5)}
    assert results["Python"].status == "ok"
    for name in ("Redis", "Dioptra API", "MLflow", "artifact store", "runner"):
        assert results[name].status == "warn"
        assert "settings are not usable" in results[name].detail


def test_passwords_in_addresses_are_hidden() -> None:
    """A password inside MLflow's address is as secret as one in a setting."""
    mask = Mask(Settings(**REQUIRED).secrets())
    for secret in ("swordfish", "hush-hush", "open sesame", "open%20sesame"):
        assert mask(f"saw {secret} here") == "saw *** here"


# -- disk ------------------------------------------------------------------------


def test_work_folder_is_made_and_private(tmp_path: Path) -> None:
    """A missing work folder is made for its owner only, and left empty."""
    folder = tmp_path / "a" / "b"
    assert [finding.status for finding in disk.check(folder)] == ["ok", "ok"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.iterdir()) == []


def test_open_work_folder_is_warned_of(tmp_path: Path) -> None:
    """A work folder that others can read is warned of, with the command to close it."""
    tmp_path.chmod(0o755)
    privacy, _ = disk.check(tmp_path)
    assert privacy.status == "warn"
    assert privacy.fix == f"run: chmod 700 {tmp_path}"


def test_unwritable_work_folder_fails(tmp_path: Path) -> None:
    """A work folder that cannot be had fails with the system's reason."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    [finding] = disk.check(blocker / "below")
    assert finding.status == "fail"
    assert "Not a directory" in finding.detail
    assert "DIOPTRA_WORKER_WORK_DIR" in finding.fix


@pytest.mark.parametrize(
    ("limit", "status"), [("LOW_FREE_BYTES", "warn"), ("MIN_FREE_BYTES", "fail")]
)
def test_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, status: str
) -> None:
    """Little free space is warned of, and hardly any fails."""
    monkeypatch.setattr(disk, limit, 1 << 62)
    *_, room = disk.check(tmp_path)
    assert (room.name, room.status) == ("disk space", status)


# -- machine and GPU -------------------------------------------------------------


def test_machine_tells_what_it_runs_on() -> None:
    """Python, packages and platform are told with their versions."""
    found = {finding.name: finding for finding in machine.check()}
    assert set(found) == {"Python", "packages", "platform"}
    assert "rq 3" in found["packages"].detail


def test_missing_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not installed is named."""
    monkeypatch.setattr(machine, "PACKAGES", ("rq", "no-such-package"))
    found = {finding.name: finding for finding in machine.check()}
    assert found["packages"].status == "fail"
    assert found["packages"].detail == "not installed: no-such-package"


class Computer:
    """A folder of device files and one of programs."""

    def __init__(self, folder: Path) -> None:
        self.devices = folder / "dev"
        self.programs = folder / "bin"
        self.devices.mkdir()
        self.programs.mkdir()

    def nvidia_smi(self, script: str) -> None:
        """Install a program of that name."""
        program = self.programs / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def check(self, *queues: str, **environment: str) -> tuple[str, str]:
        """The status and the detail of the GPU check."""
        [finding] = gpu.check(
            queues,
            {"PATH": str(self.programs), **environment},
            timeout=5,
            devices=self.devices,
        )
        return finding.status, finding.detail


@pytest.fixture(name="computer")
def _computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


@pytest.mark.skipif("sys.platform == 'darwin'", reason="a Mac has a GPU of its own")
def test_no_gpu(computer: Computer) -> None:
    """A machine without a GPU is well, unless a queue is for GPUs."""
    assert computer.check("tensorflow-cpu")[0] == "ok"
    status, detail = computer.check("tensorflow-gpu")
    assert status == "warn"
    assert "'tensorflow-gpu'" in detail


@pytest.mark.process
def test_nvidia_gpu(computer: Computer) -> None:
    """What nvidia-smi lists is shown, with what CUDA_VISIBLE_DEVICES leaves of it."""
    computer.nvidia_smi("echo 'NVIDIA H200, 143771 MiB, 570.1'")
    assert computer.check() == ("ok", "NVIDIA H200, 143771 MiB, 570.1")
    assert computer.check(CUDA_VISIBLE_DEVICES="1")[1].endswith(
        "CUDA_VISIBLE_DEVICES=1"
    )


def test_hidden_gpu(computer: Computer) -> None:
    """A GPU that CUDA_VISIBLE_DEVICES hides is warned of."""
    (computer.devices / "nvidia0").touch()
    for value in ("", "-1"):
        status, detail = computer.check(CUDA_VISIBLE_DEVICES=value)
        assert status == "warn"
        assert "hides every GPU" in detail


@pytest.mark.process
def test_broken_driver(computer: Computer) -> None:
    """An nvidia-smi that fails is quoted; device files without it are told."""
    (computer.devices / "nvidia0").touch()
    assert "nvidia0, but no nvidia-smi" in computer.check()[1]
    computer.nvidia_smi("echo 'Driver/library version mismatch' >&2; exit 18")
    status, detail = computer.check()
    assert status == "warn"
    assert "Driver/library version mismatch" in detail


# -- services, as far as they can be had here --------------------------------------


@pytest.mark.parametrize(
    ("skew", "status", "words"),
    [
        (None, "ok", "not compared"),
        (-9.0, "ok", "9.0 s"),
        (60.0, "warn", "60 s behind"),
        (-60.0, "warn", "60 s ahead of"),
        (1000.0, "fail", "S3 refuses"),
    ],
)
def test_clock(skew: float | None, status: str, words: str) -> None:
    """Clocks that differ are warned of, and fail where S3 would refuse us."""
    finding = api.clock(skew)
    assert finding.status == status
    assert words in finding.detail


@pytest.mark.parametrize(
    ("version", "enough"),
    [("6.2.0", True), ("7.0", True), ("10.1", True), ("6.0.16", False), ("dev", True)],
)
def test_redis_version(version: str, enough: bool) -> None:
    """Redis must be 6.2 or newer; what has no number is given a chance."""
    assert broker._at_least(version) is enough


def test_host_check_of_mlflow_is_explained() -> None:
    """MLflow 3's refusal of unknown hosts is told with the variable that lifts it."""
    finding = tracking._refused(
        "http://me:secret@mlflow.lab:5000",
        Exception("error code 403 != 200. Response body: 'Invalid Host header - ...'"),
    )
    assert "MLFLOW_SERVER_ALLOWED_HOSTS=mlflow.lab:5000" in finding.fix
    assert "secret" not in finding.detail + finding.fix


def test_services_that_refuse_are_told_before_anything_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nothing listens, each check says so without its libraries."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name, value in REQUIRED.items():
        address = re.sub(r"localhost:\d+", f"127.0.0.1:{port}", value)
        monkeypatch.setenv(name, address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings, _ = read_settings()
    assert settings is not None
    chains = all_checks(settings, [], environment={}, timeout=5)
    asked = [check for chain in chains for check in chain if check.imports]
    found = [check.refusal() for check in asked]
    assert [it and it.name for it in found] == [
        "Dioptra API",
        "MLflow",
        "artifact store",
    ]
    for it in found:
        assert it is not None
        assert "nothing listens there" in it.detail
        assert "sesame" not in it.detail


def test_a_store_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor does not wait for a store that breaks off: jobs try it again."""
    calls = 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)

        def hang_up() -> None:
            nonlocal calls
            while not done.is_set():
                with suppress(TimeoutError):
                    server.accept()[0].close()
                    calls += 1

        done = threading.Event()
        thread = threading.Thread(target=hang_up)
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "nobody's")
        [finding] = store.check(address, tracking.Trial(), timeout=5)
        done.set()
        thread.join()
    assert finding.status == "fail"
    assert finding.detail.startswith(f"{address} cannot be reached: ")
    assert calls == 1


# -- in brief ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP"])
def test_a_temporary_folder_that_is_passed_over(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python goes elsewhere without a word when TMPDIR cannot be written; we say so."""
    for other in disk.TEMPORARY:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "missing"))
    monkeypatch.setattr("tempfile.tempdir", None)
    finding, *_ = disk.check(tmp_path / "work")
    assert (finding.name, finding.status) == ("temporary files", "warn")
    assert f"{name} names {tmp_path / 'missing'}" in finding.detail
    (tmp_path / "missing").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    assert [found.status for found in disk.check(tmp_path / "work")] == ["ok", "ok"]


def test_brief_warns_of_the_disk_and_is_silent_of_a_redis_that_is_away(
    tmp_path: Path,
) -> None:
    """At a start only warnings are told; an absent Redis is the daemon's to tell."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        tmp_path.chmod(0o750)
        settings = Settings(
            **{
                **REQUIRED,
                "RQ_REDIS_URI": f"redis://127.0.0.1:{closed.getsockname()[1]}",
            },
            DIOPTRA_WORKER_WORK_DIR=tmp_path,
        )
        warnings = [str(it) for it in brief(settings, ["DIOPTRA_WORKER_GPU"])]
    assert len(warnings) == 2
    assert any("did you mean DIOPTRA_WORKER_GPUS?" in words for words in warnings)
    assert any("open to other users" in words for words in warnings)


def test_brief_is_bounded(tmp_path: Path) -> None:
    """A Redis that accepts and says nothing does not hold a daemon's start up."""
    tmp_path.chmod(0o700)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        settings = Settings(
            **{
                **REQUIRED,
                "RQ_REDIS_URI": f"redis://127.0.0.1:{hung.getsockname()[1]}",
            },
            DIOPTRA_WORKER_WORK_DIR=tmp_path,
        )
        started = time.monotonic()
        assert brief(settings, [], timeout=0.3) == []
        assert time.monotonic() - started < 15
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wanted", ["none", "auto"])
def test_who_jobs_run_as_is_told(wanted: str, tmp_path: Path) -> None:
    """Without users of their own, what that leaves open is said, whoever we are."""
    settings = _for_users(tmp_path, wanted)
    (finding,) = job_users.check(settings, {})
    assert finding.status in {"ok", "warn"}
    assert "jobs run as the worker's own user" in finding.detail
    assert finding.status == "ok" or finding.fix


def test_users_that_cannot_be_had_fail(tmp_path: Path) -> None:
    """Whoever asks for users and cannot have them is told why."""
    settings = _for_users(tmp_path, "65534")
    (finding,) = job_users.check(settings, {})
    assert finding.status == "fail"
    assert "jobs cannot have them, since" in finding.detail


def _for_users(folder: Path, wanted: str) -> Settings:
    given = {"DIOPTRA_WORKER_WORK_DIR": folder, "DIOPTRA_WORKER_JOB_USERS": wanted}
    return Settings(**{**REQUIRED, **given})
