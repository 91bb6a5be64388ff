"""A queue full of small jobs, and one worker."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from benchmarks.results import Measure, Result, Target
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario
from benchmarks.stage import HELLO
from benchmarks.submission import Line

if TYPE_CHECKING:
    from benchmarks.rivals import Rival
    from benchmarks.stage import Stage

DRAIN = "all jobs of the queue"
EACH = "one job after the other"


def run(stage: Stage, plan: Plan) -> Result:
    """Let each rival in turn empty a queue of the same length."""
    jobs = plan.size(50, 3)
    drain, each = Measure(DRAIN, "s"), Measure(EACH, "s")
    for number in range(times := plan.times(1)):
        for rival in stage.rivals:
            plan.say(f"round {number + 1} of {times}: {rival.name}, {jobs} jobs")
            ends = _ends(stage, rival, jobs)
            drain.add(rival.name, ends[-1] - ends[0])
            for before, after in itertools.pairwise(ends):
                each.add(rival.name, after - before)
    return Result(
        [drain, each],
        targets=[Target("at least 20 × faster", DRAIN, PEER, OURS, at_least=20)],
        notes=[
            (
                f"{jobs + 1} Hello Worlds are in the queue before the worker starts;"
                " the end of the first one starts the clock, so that"
                f" {jobs} are timed whole."
            ),
        ],
    )


def _ends(stage: Stage, rival: Rival, jobs: int) -> list[float]:
    """When each job was finished, in order."""
    line = Line(stage, HELLO, stage.new_queue())
    submitted = [line.submit() for _ in range(jobs + 1)]
    with stage.worker(rival, line.queue) as worker:
        done = [stage.wait(job, worker) for job in submitted]
    return sorted(job.finished for job in done)


SCENARIO = Scenario(
    name="drain",
    title="Drain",
    question="How long does one worker take for a queue of 50 small jobs?",
    run=run,
)
