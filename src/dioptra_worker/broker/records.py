"""What workers write into Redis for each other, and how it is read: JSON objects."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from typing import TypeVar

from dioptra_worker.common.processes.process_identity import (
    ProcessId,
    boot_id,
    identify,
    pid_namespace,
)
from dioptra_worker.common.text.strict_json import NotJson, loads

PROCESS_FIELD = "dioptra_worker"
"""Where RQ's record of a worker says which process of which machine it is."""

T = TypeVar("T", "LeaseHolder", "PendingStatus", "UnknownRun")


@dataclass(frozen=True)
class LeaseHolder:
    """A process that runs jobs.

    Attributes:
        worker: The worker's name.
        host: Its machine.
        pid: Its process id there.
        birth: When that process began, as the system tells it.
        namespace: Where its process id counts; two containers of one machine differ.
        boot: Which start of which machine; a host's name may be another's, too.
    """

    worker: str
    host: str
    pid: int
    birth: str
    namespace: str = ""
    boot: str = ""

    @property
    def is_local(self) -> bool:
        """Whether its process is among those that we can see."""
        here = (boot_id(), pid_namespace())
        return self.boot != "" and (self.boot, self.namespace) == here

    def is_dead(self) -> bool:
        """Whether it ran beside us and runs no more; False when unknown."""
        return self.is_local and not ProcessId(self.pid, self.birth).is_alive()


UNKNOWN = LeaseHolder(worker="an unknown worker", host="", pid=0, birth="")
"""Whoever has a lease that cannot be read."""


def this_process(worker: str) -> LeaseHolder:
    """Us, as the holder of a lease."""
    process = identify(os.getpid())
    assert process is not None
    return LeaseHolder(
        worker=worker,
        host=socket.gethostname(),
        pid=process.pid,
        birth=process.start_time,
        namespace=pid_namespace(),
        boot=boot_id(),
    )


@dataclass(frozen=True)
class PendingStatus:
    """A final status that the API has yet to be told, and what goes with it.

    Attributes:
        job_id: The job.
        experiment_id: Its experiment.
        status: ``finished`` or ``failed``.
        reason: Why, for the job's log.
        line: The last line of that log, with its time, by which it is known again.
        run_id: The MLflow run that the API is to know.
        artifacts: The output artifacts to be registered, a line each, as
            `dioptra_worker.protocol.codec` writes them.
        is_told: Whether all of that is delivered, and the last line perhaps said: the
            job has this end then, and no other. Before, nobody has said it.
        attempt: The attempt that ended so; 0 if none did, but the job was given up.
    """

    job_id: int
    experiment_id: int
    status: str
    reason: str
    line: str = ""
    run_id: str = ""
    artifacts: str = ""
    is_told: bool = False
    attempt: int = 0


@dataclass(frozen=True)
class UnknownRun:
    """An MLflow run that a start has perhaps begun, and whose id nobody was told.

    Attributes:
        job_id: The start's job.
        status: What the run is to be closed with.
        looks: How often MLflow was asked for it since its job is nobody's any more. A
            request to create one may still be on its way, so once is not enough.
    """

    job_id: int
    status: str = "KILLED"
    looks: int = 0


def dump_record(holder: LeaseHolder) -> bytes:
    """What other workers read with `read_record`."""
    return json.dumps(asdict(holder), sort_keys=True).encode()


def read_record(kind: type[T], text: bytes | str) -> T:
    """What a worker wrote; one of a later version may have more to say than we know.

    Raises:
        NotJson: No worker wrote this.
    """
    said = loads(text.encode() if isinstance(text, str) else text)
    types = {field.name: str(field.type) for field in fields(kind)}
    if not isinstance(said, dict):
        raise NotJson("it is no JSON object")
    known = {name: value for name, value in said.items() if name in types}
    for name, value in known.items():
        if type(value).__name__ != types[name]:
            raise NotJson(f"{name!r} is no {types[name]}")
    try:
        return kind(**known)
    except TypeError as error:  # something is missing
        raise NotJson(str(error)) from None


def read_holder(held: bytes | str) -> LeaseHolder:
    """Who has a lease; when that cannot be read, somebody of whom nothing is known."""
    try:
        return read_record(LeaseHolder, held)
    except NotJson:
        return UNKNOWN
