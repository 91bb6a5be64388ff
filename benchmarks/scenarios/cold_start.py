"""From the start of a worker's process to the end of its first job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import Measure, Result, Target
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario
from benchmarks.stage import HELLO
from benchmarks.submission import Line

if TYPE_CHECKING:
    from benchmarks.stage import Stage

FIRST = "process started → first job finished"


def run(stage: Stage, plan: Plan) -> Result:
    """Start each rival in turn, with a job waiting in its queue."""
    first = Measure(FIRST, "s")
    for number in range(times := plan.times(3)):
        for rival in stage.rivals:
            plan.say(f"round {number + 1} of {times}: {rival.name}")
            line = Line(stage, HELLO, stage.new_queue())
            job = line.submit()
            with stage.worker(rival, line.queue, ready=False) as worker:
                done = stage.wait(job, worker)
            first.add(rival.name, done.finished - worker.began)
    return Result(
        [first],
        targets=[Target("at least 2 × faster", FIRST, PEER, OURS, at_least=2)],
        notes=[
            "The files of both are in the system's cache, as after any first start."
        ],
    )


SCENARIO = Scenario(
    name="cold-start",
    title="Cold start",
    question="How long until a worker that was just started has finished a job?",
    run=run,
)
