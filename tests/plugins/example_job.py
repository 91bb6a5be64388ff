"""A small job with everything that a manifest tells of, which can really be run."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance.chain import chained, log_record, metric_record
from dioptra_worker.provenance.manifest import (
    DeterminismFacts,
    EntrypointFacts,
    EnvironmentFacts,
    FileDigest,
    InputFacts,
    JobFacts,
    LogFacts,
    LogSegment,
    Manifest,
    MetricFacts,
    MetricSeries,
    OutputFacts,
    ParameterValue,
    PlanFacts,
    PlatformFacts,
    PluginFile,
    TrackedRun,
    WorkerFacts,
    WorkerRunFacts,
    WriterFacts,
)
from dioptra_worker.tools.capsule.making import Point, Record

if TYPE_CHECKING:
    from pathlib import Path

AROUND = DeterminismFacts(seed="5", variables={"OMP_NUM_THREADS": "1"})
TASKS = """
import os
from dioptra import pyplugs
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client

@pyplugs.register
def scale(numbers, factor):
    scaled = [number * factor for number in numbers]
    import logging
    client = get_authenticated_worker_client(logging.getLogger(__name__), "json")
    for step, number in enumerate(scaled):
        client.jobs.append_metric_by_id(
            job_id=os.environ["__JOB_ID"],
            metric_name="number",
            metric_value=number,
            metric_step=step,
        )
    print("scaled", len(scaled))
    return scaled
"""
KEPT = """
import json
from dioptra.sdk.api.artifact import ArtifactTaskInterface

class Numbers(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = working_dir / f"{name}.json"
        path.write_text(json.dumps(contents))
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return json.loads((working_dir / path).read_text())

    @staticmethod
    def validation():
        return None
"""
GRAPH: dict[str, Any] = {
    "types": {"numbers": {"list": "number"}},
    "parameters": {"factor": {"type": "number", "default": 2.0}},
    "artifact_inputs": {"given": {"numbers": "numbers"}},
    "tasks": {
        "scale": {
            "plugin": "scaling.tasks.scale",
            "inputs": [
                {"name": "numbers", "type": "numbers", "required": True},
                {"name": "factor", "type": "number", "required": True},
            ],
            "outputs": {"scaled": "numbers"},
        }
    },
    "graph": {"scaled": {"scale": ["$given.numbers", "$factor"]}},
    "artifact_outputs": {
        "scaled": {"contents": "$scaled", "task": {"name": "Numbers"}}
    },
}
ROOT = "s3://bucket/0/abc/artifacts"


def _packages() -> dict[str, str]:
    """Some of those that are installed here."""
    return {name: importlib.metadata.version(name) for name in ("click", "pyyaml")}


@dataclass(frozen=True, kw_only=True)
class ExampleJob:
    """A job that multiplies numbers; it is where a capsule is made of, too.

    Attributes:
        numbers: Its input artifact.
        factor: Its parameter.
        tasks: The plugin's code.
        packages: The packages that it says to have been run with.
        evidence: What was signed of it.
        separation: Whether it says that it ran as a user of its own.
    """

    numbers: tuple[float, ...] = (1.0, 2.5)
    factor: float = 3.0
    tasks: str = TASKS
    packages: dict[str, str] = field(default_factory=_packages)
    signed: bytes | None = None
    separation: bool = False
    determinism: DeterminismFacts = AROUND

    @property
    def scaled(self) -> list[float]:
        """What comes of it."""
        return [number * self.factor for number in self.numbers]

    def manifest(self) -> bytes:
        """The manifest's bytes."""
        return self.facts.to_bytes()

    def evidence(self) -> bytes | None:
        """What was signed."""
        return self.signed

    def log(self) -> list[Record]:
        """Two lines, and the last, which no manifest has."""
        said = ("begins", "scaled 2", "the job finished")
        return [
            Record(
                severity="INFO",
                logger="dioptra_worker",
                message=f"2026-01-01T00:00:0{number}.000000Z {words}",
            )
            for number, words in enumerate(said, 1)
        ]

    def metrics(self) -> list[Point]:
        """A point for each number."""
        return [
            Point(name="number", value=number, step=step)
            for step, number in enumerate(self.scaled)
        ]

    def plugins(self, one: PluginFile, target: Path) -> None:
        """The plugins of a bundle."""
        for file in self._plugin_files:
            if file.role == one.role:
                path = target / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self.tasks if file.role == "tasks" else KEPT)

    def input(self, one: InputFacts, target: Path) -> None:
        """The input artifact."""
        (target / one.file_name).write_bytes(self._given)

    def output(self, one: OutputFacts, target: Path) -> None:
        """The output artifact."""
        (target / f"{one.name}.json").write_bytes(self._kept)

    @property
    def _given(self) -> bytes:
        return json.dumps(self.numbers).encode()

    @property
    def _kept(self) -> bytes:
        return json.dumps(self.scaled).encode()

    @property
    def _plugin_files(self) -> tuple[PluginFile, ...]:
        return (
            _plugin("tasks", 11, "scaling/tasks.py", self.tasks),
            _plugin("artifacts", 12, "keeping/numbers.py", KEPT),
            _plugin("reader", 12, "keeping/numbers.py", KEPT),
        )

    @cached_property
    def facts(self) -> Manifest:
        """The manifest."""
        lines = [
            log_record(it.severity, it.logger, it.message) for it in self.log()[:2]
        ]
        log = chained(lines)
        points = [metric_record(it.name, it.value, it.step) for it in self.metrics()]
        numbers = MetricSeries(
            points=len(points),
            chain=chained(points),
            steps=len(points),
            kept=chained(points),
        )
        first, last = lines[0]["time"], lines[-1]["time"]
        return Manifest(
            job=JobFacts(
                id=42,
                experiment=1,
                group=1,
                entrypoint=EntrypointFacts(id=3, snapshot=9, name="scaling"),
                queue="cpu",
                user="ada",
                submitted="2026-01-01T00:00:00Z",
                started="2026-01-01T00:00:01Z",
                ended="2026-01-01T00:00:02Z",
                attempt=1,
                attempts=1,
                status="finished",
                cause="",
            ),
            worker_run=WorkerRunFacts(id="0-1"),
            mlflow=TrackedRun(id="abc", uri=ROOT),
            plan=PlanFacts(
                graph=GRAPH,
                swaps={},
                parameters=(
                    ParameterValue(
                        name="factor", type="float", value=self.factor, default=2.0
                    ),
                ),
                artifact_parameters={"given": (4, 5)},
                writers=(
                    WriterFacts(
                        name="Numbers",
                        package="keeping",
                        module="numbers",
                        plugin_snapshot=12,
                        task=7,
                    ),
                ),
            ),
            plugins=self._plugin_files,
            inputs=(
                InputFacts(
                    name="given",
                    artifact=4,
                    snapshot=5,
                    uri="s3://bucket/given/given.json",
                    file_name="given.json",
                    package="keeping",
                    plugin_snapshot=12,
                    module="numbers",
                    task="Numbers",
                    outputs=("numbers",),
                    files=(file_digest("given.json", self._given),),
                ),
            ),
            outputs=(
                OutputFacts(
                    name="scaled",
                    uri=f"{ROOT}/scaled/scaled.json",
                    files=(file_digest("scaled.json", self._kept),),
                ),
            ),
            metrics=MetricFacts(
                points=len(points), chain=chained(points), names={"number": numbers}
            ),
            log=LogFacts(
                lines=len(lines),
                chain=log,
                segments=(
                    LogSegment(
                        worker="w",
                        attempt=1,
                        lines=len(lines),
                        chain=log,
                        first=first,
                        last=last,
                    ),
                ),
            ),
            environment=EnvironmentFacts(
                python=platform.python_version(),
                implementation="CPython",
                os="Linux",
                cpu="1 x y",
                memory="1 GiB",
                gpu=(),
                driver="",
                packages=self.packages,
                lock="".join(f"{k}=={v}\n" for k, v in sorted(self.packages.items())),
            ),
            determinism=self.determinism,
            worker=WorkerFacts(name="w", version="1", separation=self.separation),
            platform=PlatformFacts(version="1.1"),
        )

    def changed(self, **changes: Any) -> ExampleJob:
        """Another job, which differs in something."""
        return dataclasses.replace(self, **changes)


def file_digest(path: str, data: bytes) -> FileDigest:
    """A file as a manifest has it."""
    return FileDigest(
        path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()
    )


def _plugin(role: Any, snapshot: int, path: str, text: str) -> PluginFile:
    data = text.encode()
    return PluginFile(
        role=role,
        plugin=path.partition("/")[0],
        snapshot=snapshot,
        path=path,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
