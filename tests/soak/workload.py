"""The jobs of a soak: what kinds there are, and what is known of each one."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.clients import ApiClient
    from tests.plugins.testbed import Entrypoint, Platform

JOURNAL = "attempts.jsonl"
STEPS = 3
"""The metric of a job that finishes has a value at so many steps."""
ARTIFACTS = ("kept", "kept_folder")
MEANT = "it is meant to fail"
LIMIT = 2.0
"""Seconds that a job may run whose time is limited."""

SOURCE = f"""
import fcntl, json, logging
from multiprocessing import shared_memory

from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client

LOCKS = []


class Attempt:
    # One run of a job by one process. It writes into one file for all, and holds one
    # byte of another, so that nobody else can run the same job unnoticed.
    def __init__(self, folder):
        self.job = int(os.environ["__JOB_ID"])
        self.mark = int.from_bytes(os.urandom(5), "big")
        self.folder = folder
        lock = open(Path(folder, "running"), "a")
        LOCKS.append(lock)
        alone = True
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self.job)
        except OSError:
            alone = False
        birth = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        self.note("begin", alone=alone, birth=birth)

    def note(self, what, **more):
        more |= dict(job=self.job, mark=self.mark, pid=os.getpid(), what=what)
        more["seat"] = int(os.environ["SOAK_SEAT"])
        more["at"] = time.monotonic()  # a clock that nobody sets, and all share
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        file = os.open(Path(self.folder, "{JOURNAL}"), flags, 0o666)
        os.write(file, (json.dumps(more) + "\\n").encode())
        os.close(file)

    def say(self, lines):
        for number in range(lines):
            text = f"line {{number}} of {{self.mark}}"
            if number % 3:
                print(text, flush=True)
            else:
                logging.getLogger("soak").warning(text)

    def measure(self):
        client = get_authenticated_worker_client(LOG, "json")
        for step in range({STEPS}):
            client.jobs.append_metric_by_id(
                job_id=self.job,
                metric_name="mark",
                metric_value=float(self.mark),
                metric_step=step,
            )


@pyplugs.register
def work(folder, kind, lines, seconds):
    attempt = Attempt(folder)
    attempt.say(lines - lines // 2)
    if kind == "untidy":
        litter = shared_memory.SharedMemory(create=True, size=4096)
        attempt.note("shm", name=litter.name)
        Path(os.environ["TMPDIR"], f"litter-{{attempt.mark}}").write_text("litter")
        sleep = "import time; time.sleep(3600)"
        child = subprocess.Popen([sys.executable, "-c", sleep, "soak-child"])
        stat = Path("/proc", str(child.pid), "stat").read_text()
        birth = stat.rpartition(")")[2].split()[19]
        attempt.note("child", child=child.pid, birth=birth)
    attempt.measure()
    if kind in ("endless", "limited", "deleted"):
        seconds = 300
    time.sleep(seconds)
    for number in range(lines - lines // 2, lines):
        print(f"line {{number}} of {{attempt.mark}}", flush=True)
    if kind == "failing":
        raise ValueError("{MEANT}")
    attempt.note("end")
    return str(attempt.mark)


@pyplugs.register
def folder_of(text):
    return {{"a": text, "sub/b": text}}
"""

KINDS = {
    "hello": 60,
    "untidy": 10,
    "failing": 10,
    "endless": 8,
    "limited": 6,
    "deleted": 6,
}
"""What jobs do, and how many of a hundred: finish, finish and leave a process, a file
and shared memory behind, fail, run until stopped, run into their limit, are deleted."""
MAY_FINISH = {"hello", "untidy"}


@dataclass
class Attempt:
    """One process that ran a job.

    Attributes:
        mark: A number of its own.
        pid: The process.
        seat: Of which worker.
        began: When, as of `time.time`.
        alone: Whether no other process ran the job at that moment.
        birth: When the process was started, as the kernel says it: another process may
            get its number.
        ended: Whether its task came to its end.
    """

    mark: int
    pid: int
    seat: int
    began: float
    alone: bool
    birth: str = ""
    ended: bool = False


@dataclass
class Job:
    """What is known of a job.

    Attributes:
        id: Its id.
        kind: One of `KINDS`.
        lines: How many numbered lines it has.
        submitted: When, as of `time.time`.
        attempts: Of which one hears when they have begun.
        hits: Faults that had to be its end, such as a kill of its process.
        stopped: When it was asked to stop.
        status: Its final status, once it has one; ``deleted`` counts.
        ended: When it got that.
        problems: What is wrong, a sentence each.
    """

    id: int
    kind: str
    lines: int
    submitted: float
    attempts: list[Attempt] = field(default_factory=list)
    hits: list[str] = field(default_factory=list)
    stopped: float = 0.0
    status: str = ""
    ended: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether it has its final status."""
        return self.status != ""


class Workload:
    """Submits jobs of all kinds, drawn from a seed, and keeps what is known of them."""

    def __init__(
        self, platform: Platform, api: ApiClient, folder: Path, seed: int
    ) -> None:
        """Register the entrypoint.

        Args:
            platform: Where.
            api: The same platform's API.
            folder: Where the jobs leave marks.
            seed: What is drawn from.
        """
        self._api = api
        self._folder = folder
        self._dice = random.Random(f"{seed} jobs")  # noqa: S311 - no secret
        self.jobs: dict[int, Job] = {}
        self._experiment = platform.experiment
        self._entrypoint = _register(platform, folder)
        self._queue = api.queue_id(platform.queue)
        experiment = f"/experiments/{self._experiment}/entrypoints"
        api.post(experiment, {"ids": [self._entrypoint.id]})
        api.post(f"/entrypoints/{self._entrypoint.id}/queues", {"ids": [self._queue]})
        self._read = 0
        self._by_pid: dict[int, int] = {}
        self._of_strangers: list[dict[str, Any]] = []
        self.shared_memory: list[str] = []
        self.children: list[tuple[int, str]] = []

    @property
    def experiment(self) -> int:
        """The experiment that all jobs belong to."""
        return self._experiment

    def submit(self) -> Job:
        """Submit one more.

        Raises:
            AssertionError: The API refuses it; it may know it all the same.
            requests.RequestException: The API is away; the same.
        """
        [kind] = self._dice.choices(list(KINDS), list(KINDS.values()))
        lines = self._dice.randint(4, 40)
        body = {
            "description": f"{kind} {lines}",
            "queue": self._queue,
            "entrypoint": self._entrypoint.id,
            "values": {
                "kind": kind,
                "lines": str(lines),
                "seconds": f"{self._dice.uniform(0.05, 0.6):.2f}",
            },
            "artifactValues": {},
            "timeout": f"{LIMIT:g}s" if kind == "limited" else "10m",
        }
        found = self._api.post(f"/experiments/{self._experiment}/jobs", body)
        return self._add(found)

    def adopt(self, count: int = 50) -> list[Job]:
        """Find jobs that the API has and whose submission seemed to fail.

        Args:
            count: How many of the newest jobs are looked at.
        """
        found = self._api.get(
            "/jobs/", sortBy="createdOn", descending="true", pageLength=count
        )["data"]
        return [
            self._add(job)
            for job in found
            if job["id"] not in self.jobs
            and job["experiment"]["id"] == self._experiment
        ]

    def read_journal(self) -> None:
        """Read what attempts have written since the last time."""
        path = self._folder / JOURNAL
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._note(json.loads(line))

    def job_of(self, pid: int) -> Job | None:
        """The job that a process runs or ran, if it is one of ours."""
        job = self._by_pid.get(pid)
        return None if job is None else self.jobs.get(job)

    def _add(self, found: dict[str, Any]) -> Job:
        from_api = str(found["description"]).split()
        # The API's own time: of a job that was adopted, it is some time ago.
        job = Job(
            found["id"], from_api[0], int(from_api[1]), moment(found["createdOn"])
        )
        self.jobs[job.id] = job
        told, self._of_strangers = self._of_strangers, []
        for each in told:  # it may have begun before we knew of it
            self._note(each)
        return job

    def _note(self, told: dict[str, Any]) -> None:
        job = self.jobs.get(told["job"])
        if told["what"] == "shm":
            self.shared_memory.append(told["name"])
        elif told["what"] == "child":
            self.children.append((told["child"], told["birth"]))
        elif job is None:
            self._of_strangers.append(told)
        elif told["what"] == "begin":
            self._by_pid[told["pid"]] = job.id
            now = time.time() - time.monotonic() + told["at"]
            attempt = Attempt(
                mark=told["mark"],
                pid=told["pid"],
                seat=told["seat"],
                began=now,
                alone=told["alone"],
                birth=told["birth"],
            )
            job.attempts.append(attempt)
        else:
            for attempt in job.attempts:
                if attempt.mark == told["mark"]:
                    attempt.ended = True


def moment(text: str) -> float:
    """A time of the API's, as of `time.time`."""
    return dt.datetime.fromisoformat(text).timestamp()


def _register(platform: Platform, folder: Path) -> Entrypoint:
    return platform.entrypoint(
        SOURCE,
        {
            "working": {"work": [str(folder), "$kind", "$lines", "$seconds"]},
            "folder": {"folder_of": ["$working"]},
        },
        artifact_outputs={
            "kept": {"contents": "$working", "task": {"name": "Text"}},
            "kept_folder": {"contents": "$folder", "task": {"name": "Folder"}},
        },
        parameters={"kind": "hello", "lines": 1, "seconds": 0.1},
    )
