"""Artifacts of many files and of many bytes, to the store and back."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError
from benchmarks.results import Measure, Result, Target
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario
from benchmarks.store import Alone, Boto, write_files
from dioptra_worker.tools.local.config import BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.rivals import Worker
    from benchmarks.stage import Stage
    from benchmarks.store import Transfers
    from benchmarks.submission import Line
    from dioptra_worker.api.models import Artifact

BOTO = "boto3"
ALONE = "ours, alone"
"""What a runner transfers folders with, measured without a job."""
_WRITE_FILE = "bench-write-file"
_WRITE_FOLDER = "bench-write-folder"
_READ = "bench-read"
_NOTES = (
    (
        "Up: from the moment at which the artifact task has written the artifact to its"
        " registration in the API. Down: from the job's start to the call of the"
        " artifact task that reads it, so the job's other requests are in it."
    ),
    (
        "boto3 is its managed transfer with default settings, straight to the store;"
        " all files are handed over at once."
    ),
    "What was written before a transfer is on the disk when it begins.",
)
_ALONE_NOTE = (
    f"{ALONE!r} is what a runner transfers folders with, in the process in which boto3"
    " is measured, without a job: both have a client that has been used before."
    " Processor time is that of this process, without the store's."
)
_KIB, _MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class _Load:
    """What is stored and read back.

    Attributes:
        text: What it is, in words.
        entrypoint: What writes it.
        files: How many files.
        size: The bytes of each.
    """

    text: str
    entrypoint: str
    files: int
    size: int

    @property
    def values(self) -> dict[str, int]:
        """The job's parameters."""
        return {"files": self.files, "size": self.size}


def small_files(stage: Stage, plan: Plan) -> Result:
    """Have each rival store and read a folder of small files, in turn."""
    files = plan.size(1000, 20)
    load = _Load(f"{files:,} files", _WRITE_FOLDER, files, 16 * _KIB)
    result = _measured(
        stage,
        plan,
        load,
        plan.times(2),
        lambda name: Target(
            f"{name}: at least 5 × faster", name, PEER, OURS, at_least=5
        ),
    )
    _compare_alone(stage, plan, load, result)
    return result


def large_file(stage: Stage, plan: Plan) -> Result:
    """Have each rival store and read one large file, in turn."""
    mib = plan.size(1024, 8)
    load = _Load(f"one file of {_size(mib)}", _WRITE_FILE, 1, mib * _MIB)
    return _measured(
        stage,
        plan,
        load,
        plan.times(3),
        lambda name: Target(
            f"{name}: at most 10 % slower than boto3's own transfer",
            name,
            OURS,
            BOTO,
            at_most=1.1,
        ),
    )


def _measured(
    stage: Stage,
    plan: Plan,
    load: _Load,
    times: int,
    target: Callable[[str], Target],
) -> Result:
    up, down = Measure(f"{load.text} up", "s"), Measure(f"{load.text} down", "s")
    result = Result([up, down], [target(up.name), target(down.name)], notes=[*_NOTES])
    with ExitStack() as stack:
        boto = stack.enter_context(Boto(stage.environment, BUCKET))
        warm = [
            stack.enter_context(stage.warm(r, load.entrypoint, _READ))
            for r in stage.rivals
        ]
        for number in range(times):
            for worker, lines in warm:
                name = worker.rival.name
                plan.say(f"{load.text}, round {number + 1} of {times}: {name}")
                try:
                    _round(stage, load, worker, lines, boto, up, down)
                except BenchmarkError as error:
                    plan.say(str(error))
                    result.notes.append(
                        f"A job of {name!r} has failed here, in round {number + 1}:"
                        " what it should have stored or read is not measured."
                    )
            plan.say(f"{load.text}, round {number + 1} of {times}: {BOTO}")
            for measure, cost in zip(
                (up, down), _transferred(load, boto, boto), strict=True
            ):
                measure.add(BOTO, cost.wall)
    return result


def _round(
    stage: Stage,
    load: _Load,
    worker: Worker,
    lines: list[Line],
    boto: Boto,
    up: Measure,
    down: Measure,
) -> None:
    """Store something in one job, read it in another."""
    write, read = lines
    name = worker.rival.name
    job = stage.wait(write.submit(load.values), worker)
    artifact = stage.resources.artifacts(job.id)[0]
    written = stage.mlflow_metrics(job.id)["written"]
    up.add(name, stage.registered(artifact.id) - written)
    try:
        down.add(name, _read(stage, read, worker, artifact, load))
    finally:
        boto.discard(artifact)


def _read(
    stage: Stage, line: Line, worker: Worker, artifact: Artifact, load: _Load
) -> float:
    os.sync()
    job = stage.wait(line.submit(artifact=artifact), worker)
    found = stage.mlflow_metrics(job.id)
    if found["size"] != load.files * load.size:
        raise BenchmarkError(
            f"Job {job.id} of {worker.rival.name!r} should have read"
            f" {load.files * load.size} bytes and has got {found['size']:.0f}: what"
            " was measured is of no use."
        )
    return found["arrived"] - job.started


@dataclass(frozen=True)
class _Cost:
    """What a transfer took.

    Attributes:
        wall: Seconds.
        work: Seconds of this process' processor time.
    """

    wall: float
    work: float


def _transferred(load: _Load, transfers: Transfers, boto: Boto) -> list[_Cost]:
    """Have the same files transferred without a job, up and then down."""
    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder, "here"), Path(folder, "there")
        here.mkdir()
        there.mkdir()
        names = write_files(here, load.files, load.size)
        try:
            costs = [_cost(transfers.up, here), _cost(transfers.down, there, names)]
        finally:
            boto.forget()
        found = sum(path.stat().st_size for path in there.iterdir())
    if found != load.files * load.size:
        raise BenchmarkError(
            f"{found} bytes have come instead of {load.files * load.size}: what was"
            " measured is of no use."
        )
    return costs


def _cost(transfer: Callable[..., float], *arguments: object) -> _Cost:
    began = time.process_time()
    wall = transfer(*arguments)
    return _Cost(wall, time.process_time() - began)


def _compare_alone(stage: Stage, plan: Plan, load: _Load, result: Result) -> None:
    """Transfer the same files by what runners have and by boto3, in turn."""
    walls = [Measure(f"{load.text} {way}, alone", "s") for way in ("up", "down")]
    works = [Measure(f"{wall.name}: processor time", "s") for wall in walls]
    with Boto(stage.environment, BUCKET) as boto:
        rivals: dict[str, Transfers] = {
            ALONE: Alone(stage.environment, BUCKET),
            BOTO: boto,
        }
        for number in range(times := plan.times(5)):
            plan.say(f"{load.text} alone, round {number + 1} of {times}")
            for who, transfers in rivals.items():
                costs = _transferred(load, transfers, boto)
                for cost, wall, work in zip(costs, walls, works, strict=True):
                    wall.add(who, cost.wall)
                    work.add(who, cost.work)
    result.measures += [*walls, *works]
    result.targets += [
        Target(f"{it.name}: at least 2 × faster", it.name, BOTO, ALONE, at_least=2)
        for it in walls
    ]
    result.notes.append(_ALONE_NOTE)


def _size(mib: int) -> str:
    return f"{mib // 1024} GiB" if mib >= 1024 else f"{mib} MiB"


SMALL_FILES = Scenario(
    name="small-files",
    title="Small files",
    question="How fast is a folder of small files stored, and read by the next job?",
    run=small_files,
)
LARGE_FILE = Scenario(
    name="large-file",
    title="Large file",
    question="How fast is one large file stored, and read by the next job?",
    run=large_file,
)
