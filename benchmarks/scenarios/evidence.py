"""What a job's manifest, receipt and signature cost."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import tree
from benchmarks.errors import BenchmarkError
from benchmarks.results import Measure, Result, Target
from benchmarks.rivals import OURS, Rival
from benchmarks.scenario import Plan, Scenario
from benchmarks.stage import HELLO
from dioptra_worker.evidence import keys
from dioptra_worker.provenance.manifest import EVIDENCE_TAG, RECEIPT_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.rivals import Worker
    from benchmarks.stage import Stage
    from benchmarks.submission import Line

WITHOUT = "ours, without"
SIGNED = "ours, signed"
_UNRECORDED = Path(__file__).parents[1] / "unrecorded"
_WRITE_FILE = "bench-write-file"
_MIB = 1 << 20
_RECEIPT_SECONDS = 120.0
_NOTES = (
    (
        f"{WITHOUT!r} is a worker out of which the benchmark takes what is recorded of"
        " a job; there is no setting for that. The others have a manifest, and"
        " differ by a key. All are of the environment that the benchmarks run in, which"
        " has the extra 'evidence'."
    ),
    (
        "Processor time is that of the worker and all of its processes, from the job's"
        " submission until its receipt is there, which comes beside the next job."
    ),
)


def run(stage: Stage, plan: Plan) -> Result:
    """Have workers with and without evidence do the same jobs, in turn."""
    mib = plan.size(1024, 8)
    loads: dict[str, tuple[dict[str, int], int]] = {
        "Hello World": ({}, plan.times(10)),
        f"one file of {mib:,} MiB": (
            {"files": 1, "size": mib * _MIB},
            plan.times(3),
        ),
    }
    ours = Rival(OURS, Path(sys.executable))
    measures = []
    with ExitStack() as stack:
        warm = {
            who: stack.enter_context(
                stage.warm(ours, HELLO, _WRITE_FILE, settings=settings)
            )
            for who, settings in _settings(stage).items()
        }
        for number, (what, (values, times)) in enumerate(loads.items()):
            took = Measure(f"{what}, enqueued → finished", "s")
            work = Measure(f"{what}, processor time", "s")
            measures += [took, work]
            for again in range(times):
                for who, (worker, lines) in warm.items():
                    plan.say(f"{what}, round {again + 1} of {times}: {who}")
                    _measure(stage, who, worker, lines[number], values, took, work)
    large = measures[-2].name
    words = "a large artifact takes at most 2 % longer"
    target = Target(words, large, SIGNED, WITHOUT, at_most=1.02)
    return Result(measures, [target], notes=[*_NOTES])


def _settings(stage: Stage) -> dict[str, dict[str, str]]:
    """The settings of each worker that are not the others'."""
    key, public = stage.folder / "evidence.key", stage.folder / "evidence.pub"
    keys.write(keys.generate(), key, public)
    return {
        WITHOUT: {"PYTHONPATH": str(_UNRECORDED)},
        OURS: {},
        SIGNED: {"DIOPTRA_WORKER_EVIDENCE_KEY_FILE": str(key)},
    }


def _measure(
    stage: Stage,
    who: str,
    worker: Worker,
    line: Line,
    values: Mapping[str, int],
    took: Measure,
    work: Measure,
) -> None:
    before = tree.cpu_seconds(worker.pid)
    job = stage.wait(line.submit(values), worker)
    _wait_for_record(stage, job.id, who)
    took.add(who, job.worked)
    work.add(who, tree.cpu_seconds(worker.pid) - before)


def _wait_for_record(stage: Stage, job_id: int, who: str) -> None:
    """Wait for what is to be there of a job, and see that nothing else is.

    Raises:
        BenchmarkError: It is otherwise: what was measured is of no use.
    """
    deadline = time.monotonic() + _RECEIPT_SECONDS
    wanted = {WITHOUT: set(), OURS: {RECEIPT_TAG}}.get(who, {RECEIPT_TAG, EVIDENCE_TAG})
    while True:
        tags = {
            it["key"]: it["value"] for it in stage.mlflow_run(job_id)["data"]["tags"]
        }
        found = tags.keys() & {RECEIPT_TAG, EVIDENCE_TAG}
        if found == wanted:
            break
        if found > wanted or time.monotonic() > deadline:
            raise BenchmarkError(
                f"Job {job_id} of the worker {who!r} should have the tags"
                f" {sorted(wanted)} and has {sorted(found)}."
            )
        time.sleep(0.1)
    if tags.get(RECEIPT_TAG, "complete") != "complete":
        raise BenchmarkError(f"Job {job_id} has the receipt {tags[RECEIPT_TAG]!r}.")


SCENARIO = Scenario(
    name="evidence",
    title="Manifest, receipt and signature",
    question="What does it cost a job that its result can be proved?",
    run=run,
)
