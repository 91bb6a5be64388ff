"""A worker on a queue of its own, with the ready-made entrypoints at hand."""

from __future__ import annotations

import subprocess
import sys
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.plugins.worker_process import worker

from dioptra_worker.api.user_client import UserClient
from dioptra_worker.tools.resources import (
    JobResult,
    Submission,
    read_result,
    submit,
    wait,
)
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.plugins.clients import ApiClient
    from tests.plugins.worker_process import WorkerProcess

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact
    from dioptra_worker.tools.local import LocalStack

PROGRAM = Path(sys.executable).with_name("dioptra-worker")
EXAMPLES = Path(__file__).resolve().parents[2] / "entrypoints"
GROUP = 1


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A queue with a worker on it, and ways to submit jobs and read them back.

    Attributes:
        api: A session with the REST API.
        client: The tests' own, to read back what nothing of ours has touched.
        queue: The queue's name.
        environment: What the stack's clients need.
        worker: The worker's process.
    """

    api: DioptraApi
    client: ApiClient
    queue: str
    environment: dict[str, str]
    worker: WorkerProcess

    def run(
        self,
        entrypoint: str,
        *,
        values: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Artifact] | None = None,
    ) -> JobResult:
        """Submit a job, wait for its end, and read it back."""
        resources = UserClient(self.api)
        wanted = Submission(
            entrypoint=entrypoint,
            queue=self.queue,
            experiment="examples",
            values=values or {},
            artifacts=artifacts or {},
            timeout="5m",
        )
        job = submit(resources, wanted)
        wait(self.api, job, seconds=100.0)
        return read_result(self.api, resources, job)

    def bring_in(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run ``dioptra-worker import``."""
        return subprocess.run(
            [PROGRAM, "import", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def contents(self, artifact: Artifact) -> bytes:
        """The bytes of an artifact, as the REST API hands them out."""
        return self.client.content(f"/artifacts/{artifact.id}/contents")


@contextmanager
def opened(
    stack: LocalStack,
    api: ApiClient,
    folder: Path,
    *examples: Path,
    settings: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Bench]:
    """A bench whose worker lives as long as the block.

    Args:
        stack: Where.
        api: Its REST API.
        folder: The worker's folder.
        examples: What to import.
        settings: More environment variables of the worker.
        arguments: More of its command line.
    """
    queue = f"examples-{uuid.uuid4().hex[:8]}"
    api.post("/queues/", {"name": queue, "description": "", "group": GROUP})
    environment = stack.environment()
    with (
        Account.read(environment).session() as session,
        worker(
            environment, folder, *arguments, queue, full=True, settings=settings
        ) as process,
    ):
        bench = Bench(
            api=session,
            client=api,
            queue=queue,
            environment=environment,
            worker=process,
        )
        answer = bench.bring_in(*examples)
        assert answer.returncode == 0, answer.stderr
        yield bench
