"""Many slots on services that have the platform's times and no limit of their own."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import redis
from rq import Queue
from rq.job import Job

from benchmarks import tree
from benchmarks.access_log import Requests
from benchmarks.errors import BenchmarkError
from benchmarks.replay import PASSED_ON
from benchmarks.results import Measure, Result, Table
from benchmarks.rivals import OURS, Worker, running
from benchmarks.scenario import Plan, Scenario
from benchmarks.stage import HELLO
from benchmarks.stand_ins import StandIns, stand_ins
from benchmarks.submission import Line, Submitted
from benchmarks.words import RATE
from dioptra_worker.tools.local.config import API

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.stage import Stage

SLOTS = (1, 2, 4, 8, 16, 32)
REQUESTS = "requests of the REST API for a job"
API_TIME = "time of the REST API for a job"
COMMANDS = "commands of Redis for a job"
REDIS_TIME = "processor time of Redis for a job"
WORKER_TIME = "processor time of the worker for a job"
IDLE_COMMANDS = "commands of Redis of an idle worker in a minute"
IDLE_REQUESTS = "requests of the REST API of an idle worker in a minute"
QUEUE_REQUESTS = "requests of the REST API of all idle workers of a queue in a minute"
TIMES = {API_TIME, REDIS_TIME, WORKER_TIME}
"""Those that are in seconds; the others are numbers."""
FIRST_NUMBER = 1_000_000
"""The number of the first job that only Redis knows."""
_PATIENCE = 900.0
"""Seconds that jobs may take."""
_PAUSE = 0.05
_QUIET = 3.0
"""Seconds without a request after which nothing more comes of a job."""
_ENDED = {b"finished", b"failed", b"stopped", b"canceled", None}
_FEW, _MANY = 1, 8
"""Idle slots. What more of them cost is what each costs: some things one does for all
of a queue."""
_SETTLED = 20.0
"""Seconds after which an idle worker does what it always does."""


@dataclass(frozen=True)
class _Load:
    """What so many slots have done.

    Attributes:
        slots: How many.
        rate: Jobs a second.
        processor: Seconds of the workers' processor time for each job.
        cores: Processors in use, by who used them.
        requests: Requests of the REST API for each job.
        commands: Commands of Redis for each job, by name, with those inside scripts.
        redis: Seconds of Redis' processor time for each job.
    """

    slots: int
    rate: float
    processor: float
    cores: dict[str, float]
    requests: float
    commands: dict[str, float]
    redis: float


@dataclass(frozen=True)
class _Idle:
    """What slots without a job cost in a minute.

    Attributes:
        commands: Commands of Redis, by name, with those inside scripts.
        requests: Requests of the REST API, by kind.
        processor: Seconds of the workers' processor time.
    """

    commands: Counter[str]
    requests: Counter[str]
    processor: float


class _Simulation:
    """Workers, and jobs of which nobody but they and Redis know."""

    def __init__(self, stage: Stage, replay: StandIns, broker: redis.Redis) -> None:
        self.stage = stage
        self.replay = replay
        self.broker = broker
        self._numbers = iter(range(FIRST_NUMBER, FIRST_NUMBER * 2))
        self._line = Line(stage, HELLO, stage.new_queue())

    def record(self) -> dict[str, float]:
        """Have the real services do one job, and do as they did from now on.

        Returns:
            Seconds that they took for the job's requests, by kind.
        """
        with self.worker(self._line.queue, "--concurrency", "1") as worker:
            for _ in range(3):  # what is asked once only is known by the last
                job = self._line.submit()
                self.stage.wait(job, worker)
            while self.replay.asked().counts[API]:  # its receipt comes after its end
                time.sleep(_QUIET)
        self._real = job.id
        return dict(self.replay.replay(job.id).seconds)

    @contextmanager
    def worker(self, queue: str, *options: str) -> Iterator[Worker]:
        """Run our worker on the stand-ins."""
        stage = self.stage
        folder = stage.folder / f"slots-{time.monotonic_ns()}"
        with running(
            stage.ours, self.replay.environment, queue, folder, options
        ) as worker:
            yield worker

    def enqueue(self, queue: str, count: int) -> list[Submitted]:
        """Put copies of the real job into a queue."""
        real = Job.fetch(str(self._real), connection=self.broker)
        jobs = []
        for _ in range(count):
            number = next(self._numbers)
            Queue(queue, connection=self.broker).enqueue_call(
                real.func_name,
                args=[_instead(it, self._real, number) for it in real.args],
                kwargs={
                    k: _instead(v, self._real, number) for k, v in real.kwargs.items()
                },
                job_id=str(number),
                timeout=real.timeout,
            )
            jobs.append(Submitted(number, time.time()))
        return jobs

    def drain(self, slots: int, jobs: int) -> _Load:
        """Let so many slots empty a queue, warm."""
        queue = self.stage.new_queue()
        with self.worker(queue, "--concurrency", str(slots)) as worker:
            self._finish(self.enqueue(queue, 2 * slots), worker)
            with worker.paused():
                submitted = self.enqueue(queue, jobs)
            self.replay.asked()
            commands, busy = self._commands(), self._busy(worker)
            began = time.monotonic()
            self._finish(submitted, worker)
            seconds = time.monotonic() - began
            after, counts = self._busy(worker), self.replay.asked().counts
            commands = self._commands() - commands
        if odd := [kind for kind in counts[API] if kind.startswith(PASSED_ON)]:
            raise BenchmarkError(f"Nobody knew what to say to {', '.join(odd)}.")
        used = {who: after[who] - busy[who] for who in after}
        return _Load(
            slots=slots,
            rate=jobs / seconds,
            processor=used["workers"] / jobs,
            cores={who: value / seconds for who, value in used.items()},
            requests=counts[API].total() / jobs,
            commands={name: count / jobs for name, count in commands.items() if count},
            redis=used["redis"] / jobs,
        )

    def idle(self, slots: int, seconds: float) -> _Idle:
        """See what so many slots do on the real services that have no job any more."""
        stage = self.stage
        line = Line(stage, HELLO, stage.new_queue())
        with stage.worker(
            stage.ours, line.queue, "--concurrency", str(slots)
        ) as worker:
            for job in [line.submit() for _ in range(2 * slots)]:
                stage.wait_end(job, worker)
            time.sleep(min(_SETTLED, seconds))
            seen = Requests(stage.access_log)
            commands, busy = self._commands(), tree.cpu_seconds(worker.pid)
            time.sleep(seconds)
            share = seconds / 60
            return _Idle(
                commands=_scaled(self._commands() - commands, share),
                requests=_scaled(Counter(it.kind for it in seen), share),
                processor=(tree.cpu_seconds(worker.pid) - busy) / share,
            )

    def _finish(self, jobs: list[Submitted], worker: Worker) -> None:
        """Wait until jobs have finished."""
        deadline = time.monotonic() + _PATIENCE
        for job in jobs:
            while (status := self._status(job)) not in _ENDED:
                worker.check()
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"Job {job.id} does not end.")
                time.sleep(_PAUSE)
            if status != b"finished":
                raise BenchmarkError(
                    f"Job {job.id} is {status!r}; its worker said last:\n"
                    f"{worker.last_words()}"
                )

    def _status(self, job: Submitted) -> bytes | None:
        # By a command that workers do not use, and that is not counted.
        found: list[Any] = self.broker.hmget(f"rq:job:{job.id}", ["status"])
        return cast("bytes | None", found[0])

    def _commands(self) -> Counter[str]:
        """Commands that Redis has been sent, but for those that only look at jobs."""
        found = self.broker.info("commandstats")
        ours = ("cmdstat_info", "cmdstat_hmget")
        return Counter(
            {
                name.removeprefix("cmdstat_"): int(about["calls"])
                for name, about in found.items()
                if name not in ours
            }
        )

    def _busy(self, worker: Worker) -> dict[str, float]:
        about = self.broker.info("cpu")
        used = float(about["used_cpu_sys"]) + float(about["used_cpu_user"])
        return {
            "workers": tree.cpu_seconds(worker.pid),
            "redis": used,
            "stand-ins": tree.cpu_seconds(self.replay.pid),
        }


def _scaled(counts: Counter[str], share: float) -> Counter[str]:
    return Counter({name: round(n / share) for name, n in counts.items() if n})


def _instead(value: object, old: int, new: int) -> object:
    """An argument of a queue entry for another job."""
    if value == old:
        return new
    return str(new) if value == str(old) else value


def run(stage: Stage, plan: Plan) -> Result:
    """Let ever more slots empty queues of the same length for each."""
    with (
        stand_ins(stage.environment) as replay,
        redis.Redis.from_url(stage.environment["RQ_REDIS_URI"]) as broker,
    ):
        simulation = _Simulation(stage, replay, broker)
        plan.say("the real services do a job, and their answers are kept")
        recorded = simulation.record()
        loads = []
        for slots in SLOTS[:1] if plan.quick else SLOTS:
            plan.say(f"{slots} slots")
            loads.append(simulation.drain(slots, plan.size(40 + 20 * slots, 4)))
        idle = []
        for slots in (_FEW, plan.size(_MANY, 2)):
            plan.say(f"{slots} idle slots")
            idle.append(simulation.idle(slots, plan.size(120, 1)))
        more = plan.size(_MANY, 2) - _FEW
    measures = [Measure(name_of(it.slots), RATE, {OURS: [it.rate]}) for it in loads]
    most = loads[-1]
    costs = {
        REQUESTS: most.requests,
        API_TIME: sum(recorded.values()),
        COMMANDS: sum(most.commands.values()),
        REDIS_TIME: most.redis,
        WORKER_TIME: most.processor,
        IDLE_COMMANDS: _each(idle, more, lambda it: it.commands.total()),
        IDLE_REQUESTS: _each(idle, more, lambda it: it.requests.total()),
        QUEUE_REQUESTS: idle[0].requests.total(),
    }
    measures += [
        Measure(name, "s" if name in TIMES else "", {OURS: [value]})
        for name, value in costs.items()
    ]
    return Result(
        measures,
        tables=[
            _curve(loads),
            _costs(loads[0], recorded),
            _commands(most),
            _idle(idle, more),
        ],
        notes=[
            (
                "The services' answers to a Hello World are kept with the time that"
                " each took, and given again after that time by one process that has no"
                " other limit. Redis is the real one. The jobs are entries of the queue"
                " that nobody but Redis knows. Idle workers are on the real services."
            ),
        ],
    )


def name_of(slots: int) -> str:
    """What the measure is called that has the jobs a second of so many slots."""
    return f"{slots} {'slot' if slots == 1 else 'slots'}"


def _curve(loads: list[_Load]) -> Table:
    parties = list(loads[0].cores)
    return Table(
        "By slots",
        [
            *("slots", "jobs/s", "requests/job", "commands/job"),
            *("workers, ms/job", "Redis, ms/job"),
            *(f"cores: {name}" for name in parties),
        ],
        [
            [
                str(load.slots),
                f"{load.rate:.2f}",
                f"{load.requests:.1f}",
                f"{sum(load.commands.values()):.0f}",
                f"{1000 * load.processor:.0f}",
                f"{1000 * load.redis:.2f}",
                *(f"{load.cores[name]:.2f}" for name in parties),
            ]
            for load in loads
        ],
    )


def _costs(alone: _Load, recorded: dict[str, float]) -> Table:
    rows = [[f"`{kind}`", f"{1000 * s:.1f}"] for kind, s in sorted(recorded.items())]
    total = sum(recorded.values())
    rows.append(["all, one after the other", f"{1000 * total:.0f}"])
    rows.append(["the job on one slot", f"{1000 / alone.rate:.0f}"])
    return Table("What one job waits for", ["what", "ms"], rows)


def _commands(load: _Load) -> Table:
    rows = sorted(load.commands.items(), key=lambda row: row[1], reverse=True)
    return Table(
        f"Commands of Redis for one job, at {name_of(load.slots)}",
        ["command", "for each job"],
        [[f"`{name}`", f"{count:.1f}"] for name, count in rows if count >= 0.05],
    )


def _each(idle: list[_Idle], more: int, value: Callable[[_Idle], float]) -> float:
    """What each further worker costs; nothing if that is not to be seen."""
    few, many = map(value, idle)
    return max(0.0, (many - few) / more)


def _idle(idle: list[_Idle], more: int) -> Table:
    few, many = idle
    rows = _counted("Redis", few.commands, many.commands, more)
    rows += _counted("REST API", few.requests, many.requests, more)
    values: dict[str, Callable[[_Idle], float]] = {
        "Redis: commands": lambda it: it.commands.total(),
        "REST API: requests": lambda it: it.requests.total(),
        "processor, ms": lambda it: 1000 * it.processor,
    }
    rows += [
        [name, f"{value(few):.0f}", f"{_each(idle, more, value):.0f}"]
        for name, value in values.items()
    ]
    return Table(
        "What workers do in a minute that have no job",
        ["what", "the first of a queue", "each further one"],
        rows,
    )


def _counted(
    who: str, few: Counter[str], many: Counter[str], more: int
) -> list[list[str]]:
    return [
        [f"{who}: `{name}`", str(few[name]), f"{(many[name] - few[name]) / more:.1f}"]
        for name, _ in (many | few).most_common()
    ]


SCENARIO = Scenario(
    name="slots",
    title="Slots without limits of services",
    question="What do many slots do where the services are no limit, and what is one?",
    run=run,
)
