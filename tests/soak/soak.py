"""One soak: many jobs on four workers while everything fails now and then.

Every worker reaches each service by a way of its own, so that it can be cut off from
each apart. Two of the workers are killed and shut down like anything else; the other
two are not, so that what grows in them is seen.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import logging
import os
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import redis
import requests
from rq.command import send_command
from tests.plugins.worker_process import descendants_of
from tests.soak import checks, leftovers
from tests.soak.faults import FaultMaker
from tests.soak.samples import Sampler
from tests.soak.scene import open_scene
from tests.soak.seats import LEASE_TTL
from tests.soak.workload import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.soak.faults import Fault
    from tests.soak.scene import Scene
    from tests.soak.seats import Seat
    from tests.soak.workload import Job

    from dioptra_worker.tools.local import LocalStack

log = logging.getLogger("soak")

T = TypeVar("T")

_FINAL = {"finished", "failed"}
_STUCK_AFTER = 150.0
"""Seconds after the last fault after which a job that has not ended is stuck."""
_CHECK_AFTER = LEASE_TTL + 5.0
"""Seconds after a job's end after which nobody may write anything of it any more, but
for what a lost worker had left on its disk."""
_LEFT_TIMEOUT = 120.0
"""Seconds after a job's end within which that has come: its machine may be cut off."""
_STOP_INTERVAL = 2.0
"""Seconds between two orders to stop a job: Redis loses those that nobody hears."""
_SAMPLE_INTERVAL = 10.0
_TICK = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a soak is to do.

    Attributes:
        jobs: How many.
        seed: What jobs and faults are drawn from.
        workers: How many there are.
        seconds: After so many no job is submitted any more.
        in_flight: How many jobs are submitted and not over at most.
        fault_interval: Jobs that end between two faults, on the average; on a slow
            machine there are some all the same.
        longest_calm: Seconds between two faults at most.
    """

    jobs: int
    seed: int
    workers: int = 4
    seconds: float = float("inf")
    in_flight: int = 16
    fault_interval: float = 5.0
    longest_calm: float = 20.0


@dataclass
class Result:
    """What came of it.

    Attributes:
        plan: What was to be done.
        jobs: All of them.
        faults: What went wrong.
        seats: Who suffered it.
        sampler: What was seen of processes, keys and files.
        has_clocks: Whether clocks were set.
        seconds: How long it took.
        problems: What is wrong, a sentence each.
        details: What helps to find out why.
    """

    plan: Plan
    jobs: list[Job]
    faults: list[Fault]
    seats: Sequence[Seat]
    sampler: Sampler
    has_clocks: bool
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)


def run(stack: LocalStack, folder: Path, plan: Plan) -> Result:
    """Soak the worker.

    Args:
        stack: Of one's own. Its Redis is replaced by two.
        folder: A new one, for what the workers and jobs leave.
        plan: What to do.
    """
    with open_scene(stack, folder, seed=plan.seed, workers=plan.workers) as scene:
        maker = FaultMaker(scene, plan.seed)
        soak = _Soak(plan, scene, maker)
        try:
            soak.run()
        finally:
            scene.closed.set()
            maker.close()
        problems = soak.result.problems
        problems += leftovers.of_jobs(scene.workload, scene.queues, stack)
        problems += leftovers.of_workers(scene.seats)
        return soak.result


class _Soak:
    """The loop that submits, watches and checks."""

    def __init__(self, plan: Plan, scene: Scene, maker: FaultMaker) -> None:
        self._plan = plan
        self._scene = scene
        self._platform = scene.platform
        self._workload = scene.workload
        self._maker = maker
        self._dice = random.Random(f"{plan.seed} pauses")  # noqa: S311 - no secret
        self._in_flight: dict[int, Job] = {}
        self._asked: dict[int, float] = {}
        self._unchecked: list[tuple[float, int]] = []
        self._has_strays = False
        self._objects = scene.stack.directory / "s3/objects"
        self._began = time.monotonic()
        self.result = Result(
            plan,
            jobs=[],
            faults=maker.faults,
            seats=scene.seats,
            sampler=Sampler(scene.seats),
            has_clocks=scene.has_clocks,
        )

    def run(self) -> None:
        """Until all jobs have ended, or nothing seems to end them."""
        last_fault, next_fault = self._age, 1.0
        next_sample = next_progress = 0.0
        calm_since = None
        while True:
            self._watch()
            is_full = self._is_full
            if not is_full:
                self._submit()
                calm = self._age - last_fault
                if self._count_over() >= next_fault or calm > self._plan.longest_calm:
                    self._maker.begin_one()
                    pause = self._plan.fault_interval * self._dice.uniform(0.3, 1.7)
                    last_fault, next_fault = self._age, self._count_over() + pause
            elif calm_since is None:
                self._maker.close()
                self._has_strays = True
                calm_since = self._age
            self._check()
            if self._age >= next_sample:
                self._sample()
                next_sample = self._age + _SAMPLE_INTERVAL
            if self._age >= next_progress:
                log.info("%s", self._progress())
                next_progress = self._age + 60.0
            if calm_since is not None:
                if not self._in_flight and not self._unchecked and not self._has_strays:
                    break
                patience = _STUCK_AFTER + (0 if self._in_flight else _LEFT_TIMEOUT)
                if self._age > calm_since + patience:
                    self._give_up()
                    break
            time.sleep(_TICK)
        self.result.jobs = list(self._workload.jobs.values())
        self.result.seconds = self._age
        self.result.problems += self._maker.errors
        log.info("%s", self._progress())

    @property
    def _age(self) -> float:
        return time.monotonic() - self._began

    @property
    def _is_full(self) -> bool:
        """Whether no more jobs are to be submitted."""
        submitted = len(self._workload.jobs)
        return submitted >= self._plan.jobs or self._age > self._plan.seconds

    def _ask(self, call: Callable[[], T]) -> T | None:
        """Ask the API; None while it is away."""
        try:
            return call()
        except (AssertionError, requests.RequestException) as error:
            log.debug("%s", error)
            return None

    def _submit(self) -> None:
        if len(self._in_flight) >= self._plan.in_flight:
            return
        if self._has_strays:
            self._adopt()
            return
        job = self._ask(self._workload.submit)
        if job is None:  # the API may know it all the same
            self._has_strays = True
        else:
            self._in_flight[job.id] = job

    def _adopt(self) -> None:
        found = self._ask(self._workload.adopt)
        if found is not None:
            self._has_strays = False
            self._in_flight |= {job.id: job for job in found}

    def _watch(self) -> None:
        """Learn what has begun and what has ended, and stop what is to be stopped."""
        self._workload.read_journal()
        if self._is_full and self._has_strays:
            self._adopt()
        now = time.time()
        for job in list(self._in_flight.values()):
            self._stop(job, now)
            ended = any(attempt.ended for attempt in job.attempts)
            pause = 1.0 if ended else 3.0
            if not job.is_over and now - self._asked.get(job.id, 0.0) > pause:
                self._asked[job.id] = now
                self._look(job)
            if job.is_over:
                del self._in_flight[job.id]
                self._asked.pop(job.id, None)
                heapq.heappush(self._unchecked, (job.ended + _CHECK_AFTER, job.id))

    def _look(self, job: Job) -> None:
        found = self._ask(lambda: self._platform.job(job.id))
        if found is not None and found["status"] in _FINAL:
            job.ended = moment(found["lastModifiedOn"])
            job.status = found["status"]

    def _stop(self, job: Job, now: float) -> None:
        """Stop or delete a job that runs until somebody does."""
        if not job.attempts or now - job.attempts[-1].began < 1.0:
            return
        if job.kind == "endless" and now - job.stopped > _STOP_INTERVAL:
            job.stopped = now
            with contextlib.suppress(redis.RedisError):
                self._send_stop(job.id)
        if job.kind == "deleted":
            gone = self._ask(lambda: self._platform.api.delete(f"/jobs/{job.id}"))
            if gone is not None or self._is_deleted(job):
                job.status, job.ended = "deleted", now

    def _send_stop(self, job: int) -> None:
        """Tell the worker that has a job; whose lease it has, as RQ may not know it."""
        client = self._scene.queues.client
        lease = client.get(f"dioptra-worker:lease:{job}")
        if lease is not None:
            worker = json.loads(lease)["worker"]
            send_command(client, worker, "stop-job", job_id=str(job))

    def _is_deleted(self, job: Job) -> bool:
        api = self._platform.api
        try:
            answer = api.session.get(f"{api.root}/jobs/{job.id}", timeout=10)
        except requests.RequestException:
            return False
        return answer.status_code == 404

    def _check(self) -> None:
        """Check jobs that ended a while ago, a few at a time.

        What is wrong counts if it stays so: lines may be on a machine that is cut off.
        """
        for _ in range(3):
            if not self._unchecked or time.time() < self._unchecked[0][0]:
                return
            job = self._workload.jobs[self._unchecked[0][1]]
            found: list[str] | None = []
            if job.status != "deleted":
                found = self._ask_all(job)
            if found is None:
                return
            heapq.heappop(self._unchecked)
            if found and time.time() - job.ended < _LEFT_TIMEOUT:
                again = time.time() + _CHECK_AFTER
                heapq.heappush(self._unchecked, (again, job.id))
            else:
                job.problems = found
                self._tell(job)

    def _ask_all(self, job: Job) -> list[str] | None:
        """What is wrong with a job; None while the API is away."""
        try:
            return checks.problems(job, self._platform, self._objects)
        except (AssertionError, requests.RequestException) as error:
            log.debug("%s", error)
            return None

    def _tell(self, job: Job) -> None:
        for words in job.problems:
            log.warning("%s", words)
        self.result.problems += job.problems
        if job.problems:
            self.result.details.append(checks.shown(job, self._platform))

    def _give_up(self) -> None:
        for job in self._in_flight.values():
            words = f"job {job.id} ({job.kind}) is stuck"
            self.result.problems.append(words)
            self.result.details.append(checks.shown(job, self._platform))
        self.result.problems += [
            f"job {job} was not shown as it should be" for _, job in self._unchecked
        ]

    def _sample(self) -> None:
        sampler = self.result.sampler
        sampler.take(self._count_over(), self._scene.queues.client)
        services: dict[str, list[int]] = {"Redis": self._scene.queues.pids}
        for name, service in (
            ("the REST API", self._scene.stack.service("api")),
            ("MLflow", self._scene.stack.service("mlflow")),
            ("S3", self._scene.stack.service("s3")),
        ):
            if (pid := service.pid) is not None:
                services[name] = [pid, *descendants_of(pid)]
        for name, pids in services.items():
            sampler.add_up(name, pids)
        sampler.add_up("this program", [os.getpid()])
        own = [
            pid for seat in self._scene.seats for pid in (seat.daemon, seat.forkserver)
        ]
        sampler.add_up(
            "the workers", [pid for pid in own if pid is not None], with_ended=True
        )

    def _count_over(self) -> int:
        return sum(job.is_over for job in self._workload.jobs.values())

    def _progress(self) -> str:
        over = self._count_over()
        return (
            f"{self._age / 60:.0f} min: {over} of {self._plan.jobs} jobs have ended,"
            f" {len(self._in_flight)} have not, {len(self._maker.faults)} faults,"
            f" {len(self.result.problems)} problems"
        )
