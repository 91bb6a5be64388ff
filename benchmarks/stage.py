"""Where a benchmark happens: a local stack, its workers, and jobs that are submitted.

Times are those of the services, not of a loop that asks: the API notes when a job got
each status, Redis when it was enqueued. All of it is one machine's clock.
"""

from __future__ import annotations

import itertools
import time
import uuid
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import redis
import requests

from benchmarks.errors import BenchmarkError
from benchmarks.rivals import OURS, running
from benchmarks.submission import Done, Line, Submitted
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.common.network.backoff import retry_until_available
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.tools.local.config import API
from dioptra_worker.tools.resources import find_folders, import_folder
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.rivals import Rival, Worker
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.tools.local import LocalStack

T = TypeVar("T")

HELLO = "hello-world"
_ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = (_ROOT / "entrypoints" / HELLO, _ROOT / "benchmarks/jobs")
_GROUP = 1
_PATIENCE = 900.0
_READ_SECONDS = 60.0
_PAUSE = 0.02
_PAGE = 1000
_ENDED = {"finished", "failed", "stopped", "canceled"}


class Stage:
    """A local stack with the benchmarks' entrypoints, and who is measured on it.

    Attributes:
        stack: The services.
        rivals: The workers that are measured, ours first.
        folder: A folder for files that are not kept.
        environment: What a worker needs.
        api: A session with the REST API.
        resources: The same session, for people's needs.
        experiment: The experiment of all jobs.
    """

    def __init__(
        self,
        stack: LocalStack,
        rivals: Sequence[Rival],
        folder: Path,
        api: DioptraApi,
        broker: redis.Redis,
    ) -> None:
        self.stack = stack
        self.rivals = list(rivals)
        self.folder = folder
        self.environment = stack.environment()
        self.api = api
        self.resources = UserClient(api)
        self.experiment = self.resources.create_experiment(
            f"benchmarks-{uuid.uuid4().hex[:8]}", group=_GROUP
        )
        self._redis = broker
        self._numbers = itertools.count(1)
        self._entrypoints: dict[str, int] = {}
        for found in find_folders(_FOLDERS):
            self._entrypoints |= import_folder(self.resources, found).entrypoints

    @property
    def ours(self) -> Rival:
        """Our worker."""
        return next(rival for rival in self.rivals if rival.name == OURS)

    def entrypoint(self, name: str) -> int:
        """The id of one of the benchmarks' entrypoints."""
        return self._entrypoints[name]

    def new_queue(self) -> str:
        """Register a queue that nobody else uses."""
        name = f"bench{next(self._numbers)}-{uuid.uuid4().hex[:6]}"
        body = {"group": _GROUP, "name": name, "description": ""}
        self.api.request("POST", "queues/", json=body)
        return name

    def queue_id(self, name: str) -> int:
        """The id of a queue."""
        found = self.resources.find("queues", name)
        assert found is not None, name
        return found

    def worker(
        self,
        rival: Rival,
        queue: str,
        *options: str,
        ready: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[Worker]:
        """Run a worker on a queue until the end of the block."""
        folder = self.folder / f"{rival.name}-{next(self._numbers)}"
        environment = {**self.environment, **(settings or {})}
        return running(rival, environment, queue, folder, options, ready=ready)

    @contextmanager
    def warm(
        self,
        rival: Rival,
        *entrypoints: str,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[tuple[Worker, list[Line]]]:
        """A worker that has run a Hello World, with a line for each entrypoint."""
        queue = self.new_queue()
        lines = [Line(self, name, queue) for name in entrypoints]
        with self.worker(rival, queue, settings=settings) as worker:
            self.wait(Line(self, HELLO, queue).submit(), worker)
            yield worker, lines

    def wait(self, job: Submitted, worker: Worker | None) -> Done:
        """Wait until a job has finished, and read when it did; see `wait_end`."""
        self.wait_end(job, worker)
        return self.done(job, worker)

    def wait_end(self, job: Submitted, worker: Worker | None) -> None:
        """Wait until a job's worker is done with it.

        Redis is asked, and not the API, so that looking costs those nothing who are
        measured.

        Args:
            job: The job.
            worker: Who runs it; watched meanwhile.

        Raises:
            BenchmarkError: It does not end, or its worker has.
        """
        deadline = time.monotonic() + _PATIENCE
        while self._hash(job, "status") not in _ENDED:
            if worker is not None:
                worker.check()
            if time.monotonic() > deadline:
                raise self._wrong(job, self.api.job(job.id).status, worker)
            time.sleep(_PAUSE)

    def done(self, job: Submitted, worker: Worker | None = None) -> Done:
        """Read when a job that is over got its statuses.

        Raises:
            BenchmarkError: It has not finished.
        """
        moments = {
            change.status: change.at.timestamp()
            for change in patiently(lambda: self.resources.timeline(job.id))
        }
        if "finished" not in moments:
            raise self._wrong(job, self.api.job(job.id).status, worker)
        enqueued = datetime.fromisoformat(self._hash(job, "enqueued_at"))
        return Done(
            id=job.id,
            submitted=job.at,
            enqueued=enqueued.timestamp(),
            started=moments["started"],
            finished=moments["finished"],
        )

    def mlflow_metrics(self, job_id: int) -> dict[str, float]:
        """What a job's tasks have told MLflow."""
        metrics = self.mlflow_run(job_id)["data"].get("metrics", [])
        return {entry["key"]: float(entry["value"]) for entry in metrics}

    def mlflow_run(self, job_id: int) -> Any:
        """A job's run as MLflow describes it: ``info`` and ``data``."""
        run = patiently(lambda: self.api.mlflow_run(job_id))
        return self.mlflow("GET", "runs/get", params={"run_id": run})["run"]

    def mlflow(self, method: str, path: str, **options: Any) -> Any:
        """Ask the MLflow server."""
        url = f"{self.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{path}"

        def ask() -> Any:
            try:
                answer = requests.request(method, url, timeout=30.0, **options)
            except (requests.ConnectionError, requests.Timeout) as error:
                raise ServiceUnavailable(str(error), service="MLflow") from error
            if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                words = f"{answer.status_code}: {answer.text[:200]}"
                raise ServiceUnavailable(words, service="MLflow")
            answer.raise_for_status()
            return answer.json()

        return patiently(ask)

    def log_entries(self, job_id: int) -> Iterator[dict[str, Any]]:
        """A job's log as the API has it, in order, with the time of each entry."""
        found = 0
        page: list[dict[str, Any]] | None = None
        while page is None or page:
            page = self.api.request(
                "GET",
                f"jobs/{job_id}/log",
                params={"index": found, "pageLength": _PAGE},
            )["data"]
            found += len(page)
            yield from page

    def registered(self, artifact_id: int) -> float:
        """When an artifact was made known to the API."""
        body = self.api.request("GET", f"artifacts/{artifact_id}")
        return self.moment(body["createdOn"])

    @staticmethod
    def moment(text: str) -> float:
        """A time of the API's in seconds since the epoch."""
        return datetime.fromisoformat(text).timestamp()

    def service_pid(self, name: str) -> int:
        """The first process of a service of the stack."""
        pid = self.stack.service(name).pid
        if pid is None:
            raise BenchmarkError(f"The service {name!r} of the local stack has ended.")
        return pid

    @property
    def access_log(self) -> Path:
        """Where the REST API notes every request."""
        return self.stack.service(API).log

    def _hash(self, job: Submitted, field: str) -> str:
        """What RQ has written down about a job."""
        found = cast("bytes | None", self._redis.hget(f"rq:job:{job.id}", field))
        if found is None:
            raise BenchmarkError(
                f"Redis has forgotten job {job.id}: it ran for too long, or somebody"
                " else has emptied the database."
            )
        return found.decode()

    def _wrong(
        self, job: Submitted, status: str, worker: Worker | None
    ) -> BenchmarkError:
        log = "\n".join(line.message for line in self.resources.log(job.id)[-10:])
        said = f"\nIts worker said last:\n{worker.last_words()}" if worker else ""
        name = f" of {worker.rival.name!r}" if worker else ""
        return BenchmarkError(
            f"Job {job.id}{name} should have finished and is {status!r}. Its log"
            f" ends:\n{log}{said}"
        )


def patiently(call: Callable[[], T]) -> T:
    """Read something that is not measured, from a service that others keep busy.

    Raises:
        ServiceUnavailable: It did not answer for long.
    """
    return retry_until_available(call, seconds=_READ_SECONDS, sleep=time.sleep)


@contextmanager
def open_stage(
    stack: LocalStack, rivals: Sequence[Rival], folder: Path
) -> Iterator[Stage]:
    """Prepare a stack for the benchmarks."""
    broker = redis.Redis.from_url(stack.environment()["RQ_REDIS_URI"])
    with Account.read(stack.environment()).session() as api, broker:
        yield Stage(stack, rivals, folder, api, broker)
