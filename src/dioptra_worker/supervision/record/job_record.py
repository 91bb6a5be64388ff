"""What is known of a job, gathered as it goes, and the manifest that is made of it."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.protocol.messages import (
    ArtifactStored,
    DirectMetric,
    JobFact,
    OutputFile,
    RunStarted,
)
from dioptra_worker.provenance.manifest import (
    DeterminismFacts,
    EntrypointFacts,
    FileDigest,
    InputFacts,
    JobFacts,
    Manifest,
    OutputFacts,
    PlanFacts,
    PlatformFacts,
    PluginFile,
    TrackedRun,
    WorkerFacts,
    WorkerRunFacts,
)
from dioptra_worker.provenance.surroundings import environment
from dioptra_worker.supervision.record.chains import MetricChains

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.protocol.messages import Plan, RunnerMessage
    from dioptra_worker.provenance.manifest import LogFacts, Role
    from dioptra_worker.supervision.record.digests import Digests

DIGESTS_WAIT = 0.05
"""Seconds that a job's end waits at most for digests of its inputs, if it was short."""
DIGESTS_SHARE = 0.02
"""Of a job's time, that its end waits at most, if it was long. Digests are taken while
inputs come, or else while the job runs: what is late is large, and was not read."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What is known of a job once its plan is there.

    Attributes:
        plan: What the runner is given; None if it never came to that.
        digests: The digests of the plan's folders.
        facts: What the manifest says of the plan.
        entrypoint: Which entrypoint it is.
        group: The group that owns the job.
        queue: Where it came from.
        user: Who submitted it.
        submitted: When, in UTC.
        worker_run: Its worker run.
        platform: Its platform.
        snapshots: Artifact, its snapshot and the snapshot of the plugin that reads it,
            of each input by its name, and its address.
    """

    plan: Plan | None = None
    digests: Digests | None = None
    facts: PlanFacts = field(
        default_factory=lambda: PlanFacts(
            graph={}, swaps={}, parameters=(), artifact_parameters={}
        )
    )
    entrypoint: EntrypointFacts = field(
        default_factory=lambda: EntrypointFacts(id=0, snapshot=0, name="")
    )
    group: int = 0
    queue: str = ""
    user: str = ""
    submitted: str = ""
    worker_run: WorkerRunFacts = field(default_factory=lambda: WorkerRunFacts(id=""))
    platform: PlatformFacts = field(default_factory=PlatformFacts)
    snapshots: Mapping[str, InputSnapshot] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InputSnapshot:
    """Which artifact an input is.

    Attributes:
        artifact: The artifact.
        snapshot: Its snapshot.
        uri: Where its store has it.
        plugin_snapshot: The snapshot of the plugin that reads it.
    """

    artifact: int
    snapshot: int
    uri: str
    plugin_snapshot: int


class JobRecord:
    """Gathers what becomes of one attempt at a job; each part has one thread.

    Attributes:
        metrics: The chains of its metrics.
        planned: What is known of it once its plan is there.
    """

    def __init__(self) -> None:
        """Begin now."""
        self.metrics = MetricChains()
        self.planned = Planned()
        self._started = now()
        self._began = time.monotonic()
        self._run = TrackedRun()
        self._files: dict[str, list[FileDigest]] = {}
        self._outputs: dict[str, str] = {}
        self._facts: dict[tuple[str, str], str] = {}

    def message(self, message: RunnerMessage) -> None:
        """Take note of what the runner says of itself."""
        match message:
            case RunStarted(run_id=run_id, artifact_uri=uri):
                self._run = TrackedRun(id=run_id, uri=uri)
                self._facts.clear()  # those of a process that was lost at once
            case OutputFile():
                file = FileDigest(
                    path=message.path,
                    size=message.size,
                    sha256=message.sha256,
                    etag=message.etag,
                )
                self._files.setdefault(message.artifact, []).append(file)
            case JobFact(kind=kind, name=name, value=value):
                # The first counts: the runner's own comes before any plugin's code.
                self._facts.setdefault((kind, name), value)
            case DirectMetric(name=name, points=points):
                self.metrics.add_direct(name, points)

    @property
    def run(self) -> TrackedRun:
        """The job's MLflow run, as far as it has one."""
        return self._run

    def stored(self, artifact: ArtifactStored) -> None:
        """Take note of an output artifact that is the job's own."""
        self._outputs[artifact.name] = artifact.uri

    def manifest(
        self,
        *,
        job_id: int,
        experiment: int,
        attempt: int,
        status: str,
        cause: str,
        log: LogFacts,
        worker: WorkerFacts,
    ) -> Manifest:
        """The manifest of the job, which has just ended.

        Args:
            job_id: The job.
            experiment: Its experiment.
            attempt: Which attempt it was.
            status: ``finished`` or ``failed``.
            cause: Why it failed.
            log: What is known of its log.
            worker: Who ran it.
        """
        self._await_digests()
        planned = self.planned
        return Manifest(
            job=JobFacts(
                id=job_id,
                experiment=experiment,
                group=planned.group,
                entrypoint=planned.entrypoint,
                queue=planned.queue,
                user=planned.user,
                submitted=planned.submitted,
                started=self._started,
                ended=now(),
                attempt=attempt,
                attempts=attempt,
                status=status,
                cause=cause,
            ),
            worker_run=planned.worker_run,
            mlflow=self._run,
            plan=planned.facts,
            plugins=self._plugins(),
            inputs=self._inputs(),
            outputs=tuple(
                OutputFacts(name=name, uri=uri, files=tuple(self._files.get(name, ())))
                for name, uri in self._outputs.items()
            ),
            metrics=self.metrics.facts(),
            log=log,
            environment=environment(),
            determinism=self._determinism(),
            worker=worker,
            platform=planned.platform,
        )

    def _await_digests(self) -> None:
        """Wait a little for digests that are late, and take no more of them."""
        digests = self.planned.digests
        if digests is not None:
            took = time.monotonic() - self._began
            digests.wait(max(DIGESTS_WAIT, took * DIGESTS_SHARE))
            digests.close()

    def _plugins(self) -> tuple[PluginFile, ...]:
        plan, digests = self.planned.plan, self.planned.digests
        if plan is None or digests is None:
            return ()
        readers = {item.bundle: item.name for item in plan.inputs}
        folders: list[tuple[Role, str]] = [
            ("tasks", plan.plugins),
            ("artifacts", plan.artifact_plugins),
            *(("reader", bundle) for bundle in readers),
        ]
        snapshots = {
            task.package: task.plugin_snapshot_id for task in plan.artifact_tasks
        }
        found = []
        for role, folder in folders:
            of_reader = self.planned.snapshots.get(readers.get(folder, ""))
            for file in digests.below(Path(folder)):
                plugin = file.path.partition("/")[0]
                known = snapshots.get(plugin, 0)
                if role == "reader" and of_reader is not None:
                    known = of_reader.plugin_snapshot
                found.append(
                    PluginFile(
                        role=role,
                        plugin=plugin,
                        snapshot=known,
                        path=file.path,
                        size=file.size,
                        sha256=file.sha256,
                    )
                )
        return tuple(found)

    def _inputs(self) -> tuple[InputFacts, ...]:
        plan, digests = self.planned.plan, self.planned.digests
        if plan is None or digests is None:
            return ()
        nothing = InputSnapshot(artifact=0, snapshot=0, uri="", plugin_snapshot=0)
        found = []
        for item in plan.inputs:
            known = self.planned.snapshots.get(item.name, nothing)
            files = [
                replace(file, path=file.path.removeprefix(f"{item.file_name}/"))
                for file in digests.below(Path(item.directory))
            ]
            found.append(
                InputFacts(
                    name=item.name,
                    artifact=known.artifact or item.artifact_id,
                    snapshot=known.snapshot,
                    uri=known.uri,
                    file_name=item.file_name,
                    package=item.package,
                    plugin_snapshot=known.plugin_snapshot,
                    module=item.module,
                    task=item.task,
                    outputs=item.outputs,
                    files=tuple(files),
                    changed=digests.has_changed(Path(item.directory)),
                )
            )
        return tuple(found)

    def _determinism(self) -> DeterminismFacts:
        def of(kind: str) -> dict[str, str]:
            return {
                name: value
                for (known, name), value in sorted(self._facts.items())
                if known == kind and value
            }

        variables = of("variable")
        return DeterminismFacts(
            seed=self._facts.get(("seed", ""), ""),
            hash_seed=variables.get("PYTHONHASHSEED", ""),
            variables=variables,
            frameworks=of("framework"),
        )


def now() -> str:
    """The time in UTC as manifests have it."""
    stamp = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    return f"{stamp.isoformat(timespec='microseconds')}Z"
