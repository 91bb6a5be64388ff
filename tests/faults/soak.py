"""Two workers, many short jobs, and everything killed now and then.

The long form: ``python -m tests.faults.soak --jobs 200 --seed 7``. What happens when
is drawn from the seed; when it hits a job is up to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.plugins.clients import ApiClient
from tests.plugins.stack import fresh_stack
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from dioptra_worker.tools.local import LocalStack

SOURCE = """
import fcntl


@pyplugs.register
def run(folder, seconds):
    job = os.environ["__JOB_ID"]
    with open(Path(folder, f"lock-{job}"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Path(folder, f"twice-{job}").touch()
        mark = f"{job}-{os.getpid()}"
        Path(folder, f"start-{mark}").touch()
        print("running", flush=True)
        time.sleep(seconds)
        Path(folder, f"end-{mark}").touch()
"""
SETTINGS = {
    "DIOPTRA_WORKER_KILL_GRACE": "1",
    "DIOPTRA_WORKER_LOST_AFTER": "5",
    "DIOPTRA_WORKER_MAX_ATTEMPTS": "3",
}
EVENTS = ("runner", "runner", "worker", "worker", "api", "valkey")
TERMINAL = {"finished", "failed"}


@dataclass
class Seat:
    """A place for a worker, which is filled again after a while.

    Attributes:
        number: Which.
        running: The worker, unless it was killed just now.
        back_at: When it is filled again.
    """

    number: int
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    running: WorkerProcess | None = None
    back_at: float = 0.0


class Soak:
    """One run of it."""

    def __init__(self, stack: LocalStack, folder: Path, seed: int) -> None:
        self._stack = stack
        self._folder = folder
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._api = ApiClient(stack.environment())
        self._platform = Platform(self._api)
        self._marks = folder / "marks"
        self._marks.mkdir()
        self._seats = [Seat(0), Seat(1)]
        self.events: list[str] = []

    def run(self, jobs: int, *, seconds: float, calm_after: float) -> list[str]:
        """Run jobs through it.

        Args:
            jobs: How many.
            seconds: How long it may take until all of them have ended.
            calm_after: When nothing is killed any more.

        Returns:
            What is wrong, a sentence each.
        """
        graph = {"one": {"run": [str(self._marks), 0.5]}}
        entrypoint = self._platform.entrypoint(SOURCE, graph)
        names = [self._platform.submit(entrypoint) for _ in range(jobs)]
        began = time.monotonic()
        next_event = 2.0
        try:
            while (age := time.monotonic() - began) < seconds:
                self._fill()
                if next_event < age < calm_after:
                    self._event()
                    next_event = age + self._dice.uniform(1, 3)
                if all(self._platform.status(job) in TERMINAL for job in names):
                    break
                time.sleep(0.3)
            return [words for job in names for words in self._problems(job)]
        finally:
            for seat in self._seats:
                seat.closing.close()
            self._api.close()

    def _fill(self) -> None:
        for seat in self._seats:
            if seat.running is None and time.monotonic() >= seat.back_at:
                seat.running = seat.closing.enter_context(
                    worker(
                        self._stack.environment(),
                        self._folder / f"worker-{seat.number}",
                        self._platform.queue,
                        ready=False,
                        settings=SETTINGS,
                    )
                )

    def _event(self) -> None:
        event = self._dice.choice(EVENTS)
        self.events.append(event)
        match event:
            case "runner":
                running = [
                    path
                    for path in sorted(self._marks.glob("start-*"))
                    if not path.with_name(f"end{path.name[5:]}").exists()
                ]
                if running:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._pid(running), signal.SIGKILL)
            case "worker":
                seat = self._dice.choice(self._seats)
                if seat.running is not None:
                    seat.running.send(signal.SIGKILL)
                    seat.running.wait()
                    seat.running = None
                    seat.back_at = time.monotonic() + self._dice.uniform(1, 3)
            case _:
                self._stack.service(event).stop()
                time.sleep(self._dice.uniform(0.5, 2))
                self._stack.service(event).start()

    def _pid(self, running: list[Path]) -> int:
        """The process of a run that may be under way, if it is one of ours."""
        pid = int(self._dice.choice(running).name.rpartition("-")[2])
        ours: set[int] = set()
        for seat in self._seats:
            if seat.running is not None:
                ours |= seat.running.descendants()
        if pid not in ours:
            raise ProcessLookupError(pid)
        return pid

    def _problems(self, job: int) -> list[str]:
        found = []
        status = self._platform.status(job)
        text = self._platform.text(job)
        ended = [path.name for path in self._marks.glob(f"end-{job}-*")]
        if status not in TERMINAL:
            found.append(f"job {job} is {status}: {text}")
        if status == "finished" and not ended:
            found.append(f"job {job} is finished and no run of it ended: {text}")
        if status == "failed" and "the job failed: " not in text:
            found.append(f"job {job} failed without a cause: {text}")
        if (self._marks / f"twice-{job}").exists():
            found.append(f"job {job} ran twice at once: {text}")
        return found


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with fresh_stack(folder / "stack") as stack:
            soak = Soak(stack, folder, chosen.seed)
            patience = chosen.jobs * 3.0 + 300
            problems = soak.run(
                chosen.jobs, seconds=patience, calm_after=chosen.jobs * 1.5
            )
    verdict = problems or [f"all {chosen.jobs} jobs ended as they should"]
    sys.stdout.write(f"events: {', '.join(soak.events)}\n")
    sys.stdout.writelines(f"{words}\n" for words in verdict)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
