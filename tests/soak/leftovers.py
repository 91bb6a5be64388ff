"""What is left once all jobs have ended: of them nothing, and of workers nothing."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.plugins.clients import MlflowReader
from tests.plugins.worker_process import wait_until_gone
from tests.soak.samples import files_below, lasting_keys
from tests.soak.seats import LEASE_TTL, LOST_AFTER

from dioptra_worker.broker.runs_to_close import MAX_LOOKS
from dioptra_worker.common.processes.process_identity import ProcessId

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.soak.queue_servers import QueueServers
    from tests.soak.seats import Seat
    from tests.soak.workload import Workload

    from dioptra_worker.tools.local import LocalStack

_EXPECTED_KEYS = re.compile(
    r"^rq:(workers?|queues|finished|failed|clean_registries)\b"
    r"|^dioptra-worker:(watch|calls|turn):"
)
"""Keys of Redis that are there while nothing runs."""
_PATIENCE = 3 * LEASE_TTL + MAX_LOOKS * LOST_AFTER
"""Seconds in which what has an end of its own is gone, as a run that nobody knows."""


def of_jobs(
    workload: Workload, queues: QueueServers, stack: LocalStack
) -> Iterator[str]:
    """What jobs have left, a sentence each; the workers still run.

    Args:
        workload: Knows what jobs have made.
        queues: Hold the keys.
        stack: Has the MLflow server.
    """
    deadline = time.monotonic() + _PATIENCE
    while (keys := _unexpected_keys(queues)) and time.monotonic() < deadline:
        time.sleep(1.0)
    yield from (f"the key {key} is left in Redis" for key in keys)
    runners = {
        (attempt.pid, attempt.birth)
        for job in workload.jobs.values()
        for attempt in job.attempts
    }
    for pid, birth in sorted({*runners, *workload.children}):
        if ProcessId(pid, birth).is_alive():
            yield f"process {pid} of a job is left"
    for name in workload.shared_memory:
        if Path("/dev/shm", name.lstrip("/")).exists():  # noqa: S108 - a look
            yield f"shared memory {name} is left"
    reader = MlflowReader(stack.environment())
    running = reader.search("attributes.status = 'RUNNING'")
    reader.close()
    yield from (f"MLflow run {run['info']['run_id']} is open" for run in running)


def of_workers(seats: Sequence[Seat]) -> Iterator[str]:
    """Shut the workers down; what they leave, a sentence each."""
    pids = {pid for seat in seats for pid in seat.processes()}
    for seat in seats:
        seat.shut_down()
        if any(seat.codes):
            yield f"{seat.name} ended with {seat.codes}"
    yield from (f"process {pid} is left" for pid in wait_until_gone(pids))
    for seat in seats:
        yield from (f"{path} is left" for path in _unexpected_files(seat))


def _unexpected_keys(queues: QueueServers) -> list[str]:
    return [key for key in lasting_keys(queues.client) if not _EXPECTED_KEYS.match(key)]


def _unexpected_files(seat: Seat) -> list[Path]:
    """Files that nobody wants any more once a worker has ended."""
    return [
        path
        for path in files_below(seat.folder)
        if not path.is_dir() and not {"home", "cache"} & set(path.parts)
    ]
