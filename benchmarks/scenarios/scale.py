"""More slots and more workers on one queue, until the services are the limit."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import tree
from benchmarks.access_log import Requests
from benchmarks.results import Measure, Result, Table
from benchmarks.rivals import OURS, PEER
from benchmarks.scenario import Plan, Scenario
from benchmarks.stage import HELLO
from benchmarks.submission import Line, Submitted
from benchmarks.words import RATE
from dioptra_worker.tools.local.config import SERVICES

if TYPE_CHECKING:
    from benchmarks.rivals import Rival, Worker
    from benchmarks.stage import Stage

_OPTION = "--concurrency"
_COSTLIEST = 8


@dataclass(frozen=True)
class _Crew:
    """Who works on the queue.

    Attributes:
        workers: Worker processes ...
        slots: ... of that many slots each.
    """

    workers: int
    slots: int

    def __str__(self) -> str:
        return f"{self.workers} × {self.slots}"


@dataclass
class _Load:
    """What a crew has done.

    Attributes:
        rate: Jobs a second.
        cores: Processor time per second, by who used it.
        latencies: Seconds that the API took to answer, by kind of request.
    """

    rate: float
    cores: dict[str, float]
    latencies: dict[str, list[float]] = field(default_factory=dict)


def run(stage: Stage, plan: Plan) -> Result:
    """Let ever larger crews empty queues of the same length."""
    ours = stage.ours
    has_slots = _OPTION in ours.options()
    rates = {}
    loads: dict[str, _Load] = {}
    for crew in _crews(plan, has_slots=has_slots):
        plan.say(f"{ours.name}: workers × slots = {crew}")
        jobs = plan.size(30 + 10 * crew.workers * crew.slots, 4)
        loads[str(crew)] = _drain(stage, ours, crew, jobs)
        rates[crew] = loads[str(crew)].rate
    measures = [
        Measure(_name(crew), RATE, {OURS: [rate]}) for crew, rate in rates.items()
    ]
    peers = [rival for rival in stage.rivals if rival.name == PEER]
    for peer in peers:
        plan.say(f"{peer.name}: one worker")
        load = _drain(stage, peer, _Crew(1, 1), plan.size(8, 2))
        measures[0].add(PEER, load.rate)
    notes = [] if has_slots else [f"This version of the worker has no {_OPTION}."]
    return Result(
        measures,
        tables=[_cores(loads), _latencies(loads)],
        notes=[*notes, _conclusion(loads)],
    )


def _crews(plan: Plan, *, has_slots: bool) -> list[_Crew]:
    slots = [1, 2, 4, 8] if has_slots else [1]
    workers = [2, 3, 4]
    if plan.quick:
        slots, workers = slots[:2], [2]
    return [*(_Crew(1, n) for n in slots), *(_Crew(n, 1) for n in workers)]


def _name(crew: _Crew) -> str:
    workers = "worker" if crew.workers == 1 else "workers"
    slots = "slot" if crew.slots == 1 else "slots each" if crew.workers > 1 else "slots"
    return f"{crew.workers} {workers}, {crew.slots} {slots}"


def _drain(stage: Stage, rival: Rival, crew: _Crew, jobs: int) -> _Load:
    """Empty a queue with a crew that has run jobs before."""
    line = Line(stage, HELLO, stage.new_queue())
    options = [_OPTION, str(crew.slots)] if crew.slots > 1 else []
    with ExitStack() as stack:
        workers = [
            stack.enter_context(stage.worker(rival, line.queue, *options))
            for _ in range(crew.workers)
        ]
        for job in [line.submit() for _ in range(2 * crew.workers * crew.slots)]:
            stage.wait(job, workers[0])
        with ExitStack() as paused:  # so that none begins before all are submitted
            for worker in workers:
                paused.enter_context(worker.paused())
            submitted = [line.submit() for _ in range(jobs)]
        return _timed(stage, workers, submitted)


def _timed(stage: Stage, workers: list[Worker], submitted: list[Submitted]) -> _Load:
    seen = Requests(stage.access_log)
    before, began = _processor_time(stage, workers), time.monotonic()
    for job in submitted:
        stage.wait_end(job, workers[0])
    seconds = time.monotonic() - began
    after = _processor_time(stage, workers)
    latencies = defaultdict(list)
    for request in seen:
        latencies[request.kind].append(request.seconds)
    return _Load(
        rate=_rate(sorted(stage.done(job).finished for job in submitted)),
        cores={who: (after[who] - before[who]) / seconds for who in after},
        latencies=latencies,
    )


def _rate(ends: list[float]) -> float:
    """Jobs a second, without the first and the last tenth."""
    cut = len(ends) // 10
    first, last = cut, len(ends) - 1 - cut
    return (last - first) / (ends[last] - ends[first])


def _processor_time(stage: Stage, workers: list[Worker]) -> dict[str, float]:
    used = {"workers": sum(tree.cpu_seconds(worker.pid) for worker in workers)}
    return used | {name: tree.cpu_seconds(stage.service_pid(name)) for name in SERVICES}


def _cores(loads: dict[str, _Load]) -> Table:
    parties = list(next(iter(loads.values())).cores)
    return Table(
        "Processor cores in use, of all that the machine has",
        ["workers × slots", "jobs/s", *parties, "together"],
        [
            [
                crew,
                f"{load.rate:.1f}",
                *(f"{load.cores[name]:.2f}" for name in parties),
                f"{sum(load.cores.values()):.2f}",
            ]
            for crew, load in loads.items()
        ],
    )


def _latencies(loads: dict[str, _Load]) -> Table:
    crews = list(loads)
    alone, most = loads[crews[0]], loads[_busiest(loads)]
    kinds = sorted(
        most.latencies, key=lambda kind: sum(most.latencies[kind]), reverse=True
    )
    rows = []
    for kind in kinds[:_COSTLIEST]:
        few = statistics.median(alone.latencies.get(kind, most.latencies[kind]))
        many = statistics.median(most.latencies[kind])
        share = sum(most.latencies[kind]) / sum(map(sum, most.latencies.values()))
        rows.append(
            [
                f"`{kind}`",
                f"{few * 1000:.0f}",
                f"{many * 1000:.0f}",
                f"{many / few:.1f} ×",
                f"{share:.0%}",
            ]
        )
    return Table(
        "The API's costliest requests: median ms to answer, and their share of all its"
        " time",
        ["request", crews[0], _busiest(loads), "growth", "share"],
        rows,
    )


def _busiest(loads: dict[str, _Load]) -> str:
    """The crew under which the API spent most time on a request."""
    return max(loads, key=lambda crew: _mean_latency(loads[crew]))


def _mean_latency(load: _Load) -> float:
    return statistics.fmean(value for all_ in load.latencies.values() for value in all_)


def _conclusion(loads: dict[str, _Load]) -> str:
    """Say where the curve ends, and which request is to blame."""
    best = max(loads, key=lambda crew: loads[crew].rate)
    worst = loads[_busiest(loads)]
    first = max(worst.latencies, key=lambda kind: sum(worst.latencies[kind]))
    together = sum(loads[best].cores.values())
    return (
        f"Most jobs a second ({loads[best].rate:.1f}) came from {best} (workers ×"
        f" slots), when {together:.1f} cores were in use,"
        f" {loads[best].cores['api']:.1f} of them by the API. The request"
        f" that takes most of the API's time under load is `{first}`."
    )


SCENARIO = Scenario(
    name="scale",
    title="Scale out",
    question="How does throughput grow with slots and workers, and what ends it?",
    run=run,
)
