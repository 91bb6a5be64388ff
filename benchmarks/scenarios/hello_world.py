"""Hello World on a warm worker, beside the floor of its requests."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.floor import Floor
from benchmarks.moments import Moments
from benchmarks.results import Measure, Result, Table, Target
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario
from benchmarks.stage import HELLO, Stage
from benchmarks.submission import Line, Submitted

if TYPE_CHECKING:
    from benchmarks.submission import Done
    from dioptra_worker.api.models import LogLine

FLOOR = "floor"
TOTAL = "submitted → finished"
WORKED = "enqueued → finished"


def run(stage: Stage, plan: Plan) -> Result:
    """Have every rival, and the floor, do one job in turn."""
    total, worked = Measure(TOTAL, "s"), Measure(WORKED, "s")

    moments = Moments(stage)

    def keep(who: str, job: Done) -> None:
        total.add(who, job.total)
        worked.add(who, job.worked)
        if who != FLOOR:
            moments.add(who, job)

    with ExitStack() as stack:
        warm = [stack.enter_context(stage.warm(r, HELLO)) for r in stage.rivals]
        line = Line(stage, HELLO, stage.new_queue())
        floor = stack.enter_context(Floor(stage, _typical_log(stage, warm[0][1][0])))
        stage.done(_by_floor(floor, line))  # not measured: it opens connections
        floor.seconds.clear()
        for number in range(times := plan.times(10)):
            plan.say(f"round {number + 1} of {times}")
            for worker, (own,) in warm:
                keep(worker.rival.name, stage.wait(own.submit(), worker))
            keep(FLOOR, stage.done(_by_floor(floor, line)))
    return Result(
        [total, worked],
        targets=[
            Target(
                "at least 20 × faster than the peer", TOTAL, PEER, OURS, at_least=20
            ),
            Target(
                "at most 1.2 × the floor of the same requests in sequence",
                WORKED,
                OURS,
                FLOOR,
                at_most=1.2,
            ),
        ],
        tables=[moments.table(), _requests(floor)],
        notes=[
            (
                "The worker is warm: it has run the same job before. The API's own work"
                " at submission is in the first measure only."
            ),
            (
                "The floor has the requests of our worker and no login, since a warm"
                " worker is logged in."
            ),
        ],
    )


def _typical_log(stage: Stage, line: Line) -> list[LogLine]:
    job = stage.wait(line.submit(), None)
    return stage.resources.log(job.id)


def _by_floor(floor: Floor, line: Line) -> Submitted:
    job = line.submit()
    floor.do(job.id)
    return job


def _requests(floor: Floor) -> Table:
    medians = {
        name: statistics.median(values) * 1000 for name, values in floor.seconds.items()
    }
    rows = [[name, f"{value:.1f}"] for name, value in medians.items()]
    rows.append(
        [f"all {len(rows)}, one after the other", f"{sum(medians.values()):.0f}"]
    )
    return Table("What the floor consists of", ["request", "median, ms"], rows)


SCENARIO = Scenario(
    name="hello-world",
    title="Hello World",
    question="How long does a user wait for the smallest job on a warm worker?",
    run=run,
)
