"""What is looked at in each image; a check returns what it saw, or raises."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.tools.resources import Submission, read_result, submit, wait

from .errors import ProofError
from .images import DAEMON
from .tools import WRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.resources import JobResult

    from .images import Image
    from .tools import Container, Tools

START_SECONDS = 600.0
JOB_SECONDS = 900.0
STOP_PATIENCE = 60
"""Seconds after which `docker stop` would kill; a proof that needs them has failed."""
USER = "39000:100"
"""The user and group that the platform's deployment expects."""
IDENTITY = "import os; print(f'{os.getuid()}:{os.getgid()}')"
_LAST = 1500


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One image on the local stack.

    Attributes:
        image: The image.
        tools: What runs it.
        environment: A file with the worker's settings.
        api: A session with the REST API.
        resources: The same, for what people ask of it.
    """

    image: Image
    tools: Tools
    environment: Path
    api: DioptraApi
    resources: UserClient

    @contextmanager
    def container(self, name: str, *arguments: str) -> Iterator[Container]:
        """A container of the image until the end of the block."""
        running = self.tools.run(
            f"proof-{self.image.name}-{name}",
            self.image.tag,
            *self.image.command(*arguments),
            environment=self.environment,
            options=("--user", USER) if self.image.bare else (),
        )
        try:
            yield running
        finally:
            running.remove()

    def submit(self, queue: str, values: Mapping[str, str] | None = None) -> int:
        """Submit the image's job."""
        wanted = Submission(
            entrypoint=self.image.entrypoint,
            queue=queue,
            experiment="proof",
            values=values or {},
            timeout="30m",
        )
        return submit(self.resources, wanted)

    def result(self, job: int) -> JobResult:
        """A job's result once it has ended.

        Raises:
            ProofError: It has not finished well.
        """
        wait(self.api, job, seconds=JOB_SECONDS)
        result = read_result(self.api, self.resources, job)
        if result.job.status != "finished":
            text = "\n".join(line.message for line in result.log)
            raise ProofError(f"job {job} {result.job.status}:\n{text[-_LAST:]}")
        return result


def identity(container: Container) -> str:
    """Neither root nor what the platform does not expect."""
    told = container.execute("python3", "-c", IDENTITY).stdout.strip()
    expect(told == USER, f"it runs as user and group {told!r}")
    return USER


def process_1(container: Container) -> str:
    """The daemon itself is process 1."""
    line = container.execute("cat", "/proc/1/cmdline").stdout.split("\0")
    daemon = any(word.endswith(DAEMON) for word in line[:2])
    expect(daemon, f"process 1 is {line}")
    return DAEMON


def read_only(container: Container) -> str:
    """Nothing can be written but where a worker must."""
    for folder in ("/", "/opt/venv", "/usr", "/etc"):
        done = container.execute("touch", f"{folder}/proof")
        expect(done.returncode != 0, f"{folder} can be written")
    for folder in WRITABLE:
        done = container.execute("touch", f"{folder}/proof")
        expect(done.returncode == 0, f"{folder} cannot be written: {done.stderr}")
    return f"only {', '.join(WRITABLE)}"


def health(container: Container, bench: Bench) -> str:
    """The image's health checks, where it has them, find the worker alive."""
    command = ["/usr/local/bin/healthcheck.sh"]  # which the platform's deployment calls
    if bench.image.bare:
        command = ["dioptra-worker", "health"]
    else:
        expect(container.healthy(), "the health check says no")
    done = container.execute(*command)
    expect(done.returncode == 0, f"{command[0]} says: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def doctor(container: Container, bench: Bench) -> str:
    """The doctor in the container finds nothing to mend."""
    done = container.execute(
        *("dioptra-worker", "doctor", "--deep", "--timeout", "60"), *bench.image.queues
    )
    expect(done.returncode == 0, done.stdout + done.stderr)
    return done.stdout.strip().splitlines()[-1]


def job(bench: Bench) -> str:
    """A job comes to a good end, and its metrics are what the attack is to show."""
    result = bench.result(bench.submit(bench.image.queue))
    if not bench.image.attacks:
        return f"{bench.image.entrypoint}, {result.ran or 0:.1f} s"
    metrics = {point.name: float(point.value) for point in result.metrics}
    clean, fooled = metrics["accuracy_clean"], metrics["accuracy_attacked"]
    expect(clean > 0.9 and fooled < clean / 2, f"the accuracies are {metrics}")
    return f"{clean:.0%}, attacked {fooled:.0%}, {result.ran or 0:.1f} s"


def second_queue(bench: Bench) -> str:
    """A job of the second queue is taken, too: two names are two queues."""
    queue = bench.image.queues[1]
    bench.result(bench.submit(queue))
    return f"{queue} served"


def stop_idle(container: Container) -> str:
    """An idle worker ends at once when it is told to, and says that it meant to."""
    seconds = container.stop(patience=STOP_PATIENCE)
    code = container.state("ExitCode")
    expect(code == 0 and seconds < STOP_PATIENCE / 2, f"{seconds:.0f} s, code {code}")
    return f"{seconds:.1f} s, code 0"


def stop_waiting(bench: Bench) -> str:
    """A worker that still waits for a service hears the signal, too."""
    arguments = ("--url", "redis://127.0.0.1:9", *bench.image.queues)
    with bench.container("waiting", *arguments) as container:
        container.wait_for("waiting: Redis cannot be reached", seconds=START_SECONDS)
        return stop_idle(container)


def stop_in_job(bench: Bench) -> str:
    """A job whose worker is stopped is given back, and finished by another."""
    with bench.container("first") as first:
        number = begin(bench)
        seconds = first.stop(patience=STOP_PATIENCE)
        code = first.state("ExitCode")
        expect(code == 0, f"the worker ended with {code}:\n{first.log()[-_LAST:]}")
        expect_given_back(bench, number)
    with bench.container("second"):
        finished_at_last(bench, number)
    return f"given back in {seconds:.0f} s, finished"


def begin(bench: Bench) -> int:
    """Submit a long job, and wait until it is well under way."""
    number = bench.submit(bench.image.queue, bench.image.long)
    _until(lambda: bench.image.under_way in _log(bench, number), "it never began")
    return number


def expect_given_back(bench: Bench, number: int) -> None:
    """A job whose worker was told to end waits for another."""
    status = bench.api.job(number).status
    expect(status == "queued", f"the job is {status}, not given back")


def finished_at_last(bench: Bench, number: int) -> None:
    """A job that was given back once is finished."""
    result = bench.result(number)
    starts = sum(change.status == "started" for change in result.timeline)
    expect(starts == 2, f"the job was started {starts} times")


def _log(bench: Bench, number: int) -> str:
    return "\n".join(line.message for line in bench.resources.log(number)) + " "


def _until(holds: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + JOB_SECONDS
    while not holds():
        expect(time.monotonic() < deadline, complaint)
        time.sleep(0.5)


def expect(holds: bool, complaint: str) -> None:
    """Raise a complaint unless something holds."""
    if not holds:
        raise ProofError(complaint)
