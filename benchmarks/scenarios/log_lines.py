"""Jobs that write many lines to their log."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.access_log import Requests
from benchmarks.errors import BenchmarkError
from benchmarks.results import Measure, Result, Target
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario

if TYPE_CHECKING:
    from benchmarks.rivals import Worker
    from benchmarks.stage import Stage
    from benchmarks.submission import Done, Line

_LINES = "bench-lines"
_NUMBER = re.compile(r"\bline (\d+)\.")


def run(stage: Stage, plan: Plan) -> Result:
    """Have each rival run the same talkative jobs in turn."""
    few, many = plan.size(5000, 100), plan.size(50_000, 500)
    measures: dict[int, list[Measure]] = {
        lines: [
            Measure(f"{lines:,} lines: time of the task", "s"),
            Measure(f"{lines:,} lines: started → all in the API", "s"),
            Measure(f"{lines:,} lines: requests", ""),
        ]
        for lines in (few, many)
    }
    with ExitStack() as stack:
        warm = [stack.enter_context(stage.warm(r, _LINES)) for r in stage.rivals]
        for lines, times in ((few, plan.times(2)), (many, 1)):
            for number in range(times):
                for worker, (line,) in warm:
                    name = worker.rival.name
                    plan.say(f"{lines} lines, round {number + 1} of {times}: {name}")
                    values = _talk(stage, line, worker, lines)
                    for measure, value in zip(measures[lines], values, strict=True):
                        measure.add(name, value)
    task = measures[few][0].name
    return Result(
        [measure for some in measures.values() for measure in some],
        targets=[
            Target("at least 10 × cheaper for the job", task, PEER, OURS, at_least=10)
        ],
        notes=[
            (
                "The task measures itself while it writes the lines through structlog."
                " All lines are then read back from the API: none is missing, and they"
                " are in order."
            )
        ],
    )


def _talk(
    stage: Stage, line: Line, worker: Worker, lines: int
) -> tuple[float, float, float]:
    """The task's time, the time until all has arrived, and the requests it took."""
    seen = Requests(stage.access_log)
    done = stage.wait(line.submit({"count": lines}), worker)
    arrived = _arrival(stage, done, lines)
    posts = seen.count("POST", f"/jobs/{done.id}/log")
    return stage.mlflow_metrics(done.id)["seconds"], arrived - done.started, posts


def _arrival(stage: Stage, done: Done, lines: int) -> float:
    """When the last line was stored.

    Raises:
        BenchmarkError: A line is missing, or they are not in order.
    """
    numbers: list[int] = []
    last = done.finished
    for entry in stage.log_entries(done.id):
        if found := _NUMBER.search(entry["message"]):
            numbers.append(int(found[1]))
            last = stage.moment(entry["createdOn"])
    if numbers != list(range(lines)):
        raise BenchmarkError(
            f"The log of job {done.id} should have the lines 0 to {lines - 1} in"
            f" order, and has {len(numbers)} lines, {len(set(numbers))} of them"
            " different: what was measured is of no use."
        )
    return last


SCENARIO = Scenario(
    name="log-lines",
    title="Log lines",
    question="What does it cost a job to write many lines to its log?",
    run=run,
)
