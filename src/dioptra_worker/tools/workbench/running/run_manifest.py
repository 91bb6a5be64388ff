"""The manifest of a run without a server: what it was run on, and what came of it.

It has the shape of a job's, made of what the runner says to whoever supervises it. What
only a platform has is not in it. Nothing here fails a run.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dioptra_worker import __version__
from dioptra_worker.engine.wording import format_exception
from dioptra_worker.protocol.messages import NO_JOB, Log
from dioptra_worker.provenance import Parameter
from dioptra_worker.provenance.chain import canonical, digest
from dioptra_worker.provenance.manifest import (
    FILE_NAME,
    FOLDER,
    LOG_FILE_NAME,
    MANIFEST_TAG,
    EntrypointFacts,
    LogFacts,
    Manifest,
    WorkerFacts,
)
from dioptra_worker.provenance.surroundings import environment
from dioptra_worker.supervision.record.chains import LogChain, log_facts
from dioptra_worker.supervision.record.job_record import InputSnapshot, Planned
from dioptra_worker.supervision.record.plan_facts import digests_of, plan_facts
from dioptra_worker.tracking.folder_run import FolderTracking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dioptra_worker.protocol.messages import Plan
    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan
    from dioptra_worker.tools.workbench.running.results import Recorder


def read_environment_soon() -> None:
    """Have what is installed read beside the run, since that takes a while.

    It is kept, so that the manifest finds it.
    """
    threading.Thread(target=environment, name="dioptra-packages", daemon=True).start()


def note_plan(recorder: Recorder, plan: Plan, run_plan: RunPlan) -> None:
    """Note what a run is given, before it can reach it.

    Args:
        recorder: Where.
        plan: Its plan; the folders that it names are filled.
        run_plan: What that was made of.
    """
    declared = [
        Parameter(name=name, kind=kind, default=None)
        for name, kind in run_plan.entrypoint.kinds.items()
    ]
    with _never_failing(recorder, "lacks its plan"):
        recorder.record.planned = Planned(
            plan=plan,
            digests=digests_of(plan, links=True),
            facts=plan_facts(plan, declared, inputs={}, swaps=run_plan.swaps),
            entrypoint=EntrypointFacts(id=0, snapshot=0, name=plan.entrypoint),
            snapshots={
                given.name: InputSnapshot(
                    artifact=0,
                    snapshot=0,
                    uri=given.path.as_uri(),
                    plugin_snapshot=given.task.plugin_snapshot_id,
                )
                for given in run_plan.inputs
            },
        )


def keep(folder: Path, recorder: Recorder, reason: str) -> None:
    """Make the manifest of a run that is kept in a folder, and put it there.

    The log, which no API has, lies beside it.

    Args:
        folder: The folder of runs.
        recorder: What is known of the run.
        reason: Why it failed; empty if it did not.
    """
    with _never_failing(recorder, "is not kept"):
        tracking, run_id = FolderTracking(folder), recorder.run_id
        if run_id is None:
            return
        lines = [
            Log(
                severity=line.severity,
                logger=line.logger,
                message=f"{line.time} {line.message}",
            )
            for line in recorder.lines
        ]
        chain = LogChain(worker="", attempt=1)
        for line in lines:
            chain.add(line)
        data = _made(recorder, reason, log_facts(chain.segments())).to_bytes()
        target = tracking.run_folder(run_id) / "artifacts" / FOLDER
        target.mkdir(parents=True, exist_ok=True)
        records = (canonical(vars(line)) + b"\n" for line in lines)
        (target / LOG_FILE_NAME).write_bytes(b"".join(records))
        (target / FILE_NAME).write_bytes(data)
        tracking.tag(run_id, MANIFEST_TAG, digest(data))


def send(recorder: Recorder, reason: str, store: Callable[[bytes], object]) -> None:
    """Make the manifest of a run that an MLflow server keeps, and have it stored.

    Its log is nowhere, so that nothing is said of it.

    Args:
        recorder: What is known of the run.
        reason: Why it failed; empty if it did not.
        store: Stores the manifest.
    """
    with _never_failing(recorder, "is not stored"):
        if recorder.run_id is not None:
            store(_made(recorder, reason, LogFacts()).to_bytes())


def _made(recorder: Recorder, reason: str, log: LogFacts) -> Manifest:
    return recorder.record.manifest(
        job_id=NO_JOB,
        experiment=0,
        attempt=1,
        status="failed" if reason else "finished",
        cause=reason,
        log=log,
        worker=WorkerFacts(name="", version=__version__),
    )


@contextmanager
def _never_failing(recorder: Recorder, words: str) -> Iterator[None]:
    """Say what goes wrong, and go on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a run has its result all the same
        recorder.say(f"the run's manifest {words}: {format_exception(error)}")
