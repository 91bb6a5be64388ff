"""What is recorded of a job does not hold it."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.protocol.messages import InputArtifact, Plan
from dioptra_worker.provenance.manifest import LogFacts, WorkerFacts
from dioptra_worker.supervision.record.digests import Digests
from dioptra_worker.supervision.record.job_record import JobRecord, Planned

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.provenance.manifest import Manifest


class Late(Digests):
    """Reads nothing, and notes for how long it is waited for."""

    waited: float | None = None

    def wait(self, seconds: float) -> bool:
        """Note it."""
        self.waited = seconds
        return False

    def _read(self) -> None:
        """Come to nothing."""


class Awaited(Late):
    """Reads all while it is waited for."""

    def wait(self, seconds: float) -> bool:
        """Read it."""
        Digests._read(self)
        return super().wait(seconds)


def ended(record: JobRecord) -> Manifest:
    """The manifest of a job that has just ended."""
    return record.manifest(
        job_id=1,
        experiment=1,
        attempt=1,
        status="finished",
        cause="",
        log=LogFacts(),
        worker=WorkerFacts(name="w", version="1"),
    )


def _plan(folder: Path) -> Plan:
    artifact = InputArtifact(
        name="given",
        directory=str(folder),
        file_name="large",
        bundle=str(folder / "reader"),
        package="p",
        module="m",
        task="T",
        outputs=("x",),
    )
    return Plan(
        job_id=1,
        entrypoint="e",
        config={},
        parameters={},
        artifact_tasks=(),
        inputs=(artifact,),
        plugins=str(folder / "plugins"),
        artifact_plugins=str(folder / "artifacts"),
    )


@pytest.mark.parametrize(("took", "waits"), [(0.1, 0.05), (100.0, 2.0)])
def test_a_digest_that_is_late_is_left_out(
    took: float, waits: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for as long as a manifest may cost; its file was not changed."""
    (tmp_path / "large").write_bytes(b"x" * 100)
    plan = _plan(tmp_path)
    digests = Late([tmp_path])
    record = JobRecord()
    record.planned = Planned(plan=plan, digests=digests)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + took)
    (given,) = ended(record).inputs
    (only,) = given.files
    assert (only.size, only.sha256, given.changed) == (100, "", False)
    assert digests.waited == pytest.approx(waits, rel=0.2)


def test_the_digests_of_plugins_are_waited_for_first(tmp_path: Path) -> None:
    """What was read by the job's end is in the manifest, of plugins and of inputs."""
    (tmp_path / "large").write_bytes(b"x")
    (tmp_path / "plugins/mine").mkdir(parents=True)
    (tmp_path / "plugins/mine/tasks.py").write_bytes(b"1")
    plan = _plan(tmp_path)
    record = JobRecord()
    digests = Awaited([tmp_path, tmp_path / "plugins"])
    record.planned = Planned(plan=plan, digests=digests)
    manifest = ended(record)
    (plugin,) = manifest.plugins
    assert plugin.sha256 == hashlib.sha256(b"1").hexdigest()
    assert all(file.sha256 for file in manifest.inputs[0].files)
