"""What a worker takes of a machine, idle and at work."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import tree
from benchmarks.results import Measure, Result, Target
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario

if TYPE_CHECKING:
    from benchmarks.rivals import Worker
    from benchmarks.stage import Stage
    from benchmarks.submission import Line

IDLE = "idle, PSS"
BUSY = "at work, most PSS"
CPU = "idle, processor time per minute"
_HOLD = "bench-hold"


def run(stage: Stage, plan: Plan) -> Result:
    """Look at each rival's whole process tree, in turn."""
    idle, busy = Measure(IDLE, "MiB"), Measure(BUSY, "MiB")
    cpu = Measure(CPU, "s")
    with ExitStack() as stack:
        warm = [stack.enter_context(stage.warm(r, _HOLD)) for r in stage.rivals]
        for number in range(times := plan.times(2)):
            for worker, (line,) in warm:
                name = worker.rival.name
                plan.say(f"round {number + 1} of {times}: {name}")
                memory, processor = _idle(worker, plan.size(10, 2))
                idle.add(name, memory)
                cpu.add(name, processor)
                busy.add(name, _busy(stage, line, worker, plan.size(3, 1)))
    return Result(
        [idle, busy, cpu],
        targets=[Target("no more than the peer at work", BUSY, OURS, PEER, at_most=1)],
        notes=[
            (
                "The proportional set size of all processes below the worker's first"
                " one: memory that they share counts once."
            ),
            (
                "Idle is after a first job. The job at work does nothing but wait, so"
                " that all memory is the worker's own."
            ),
        ],
    )


def _idle(worker: Worker, seconds: int) -> tuple[float, float]:
    """The memory in MiB, and the processor time in seconds a minute."""
    time.sleep(2.0)  # what the last job has left is cleared away
    before = tree.cpu_seconds(worker.pid)
    with tree.watched(worker.pid, every=seconds / 2) as memory:
        time.sleep(seconds)
    return memory.typical, (tree.cpu_seconds(worker.pid) - before) * 60 / seconds


def _busy(stage: Stage, line: Line, worker: Worker, seconds: int) -> float:
    with tree.watched(worker.pid) as memory:
        stage.wait(line.submit({"seconds": float(seconds)}), worker)
    return memory.peak


SCENARIO = Scenario(
    name="memory",
    title="Memory",
    question="How much memory does a worker take, with all of its processes?",
    run=run,
)
