"""Stand-ins for the services, which `benchmarks.replay` is the program of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.errors import BenchmarkError
from benchmarks.replay import HOST
from dioptra_worker.tools.local.config import API, MLFLOW, S3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VARIABLES = {
    API: "DIOPTRA_API",
    MLFLOW: "MLFLOW_TRACKING_URI",
    S3: "MLFLOW_S3_ENDPOINT_URL",
}
"""Where a worker finds each service."""


@dataclass(frozen=True)
class Asked:
    """What was asked of the stand-ins since the last time.

    Attributes:
        counts: How many requests of each kind, by service.
        seconds: How long they take to answer all of a job's requests of each kind.
    """

    counts: Mapping[str, Counter[str]]
    seconds: Mapping[str, float]


class StandIns:
    """The process that stands in for the services.

    Attributes:
        environment: What leads a worker to them.
        pid: The process.
    """

    def __init__(
        self, process: subprocess.Popen[str], environment: Mapping[str, str]
    ) -> None:
        self.environment = environment
        self.pid = process.pid
        self._process = process

    def replay(self, job: int) -> Asked:
        """Answer all jobs as that one was answered."""
        return self._said(f"replay {job}")

    def asked(self) -> Asked:
        """What was asked since this, or `replay`, was called last."""
        return self._said("counts")

    def _said(self, command: str) -> Asked:
        sent, said = self._process.stdin, self._process.stdout
        assert sent is not None
        assert said is not None
        sent.write(f"{command}\n")
        sent.flush()
        line = said.readline()
        if not line:
            raise BenchmarkError("What stands in for the services has ended.")
        found: dict[str, Any] = json.loads(line)
        counts = {
            name: Counter(each)
            for name, each in zip(_VARIABLES, found["counts"], strict=True)
        }
        return Asked(counts, found["seconds"])


@contextmanager
def stand_ins(environment: Mapping[str, str]) -> Iterator[StandIns]:
    """Have stand-ins until the end of the block.

    Args:
        environment: What leads a worker to the real services.
    """
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.replay"),
            *(environment[name] for name in _VARIABLES.values()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ports = process.stdout.readline().split()
        if len(ports) != len(_VARIABLES):
            raise BenchmarkError("What stands in for the services does not start.")
        addresses = [f"http://{HOST}:{port}" for port in ports]
        found = dict(zip(_VARIABLES.values(), addresses, strict=True))
        yield StandIns(process, {**environment, **found})
    finally:
        process.kill()
        process.communicate()
