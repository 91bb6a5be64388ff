"""What a plugin can observe is the same in a job and in ``dioptra-worker run``."""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.acceptance.bench import PROGRAM, Bench, opened
from tests.acceptance.observed import CASES, VALUES, observed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack
    from dioptra_worker.tools.resources import JobResult

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
]  # many jobs and runs, and a stack

SERVERS = ("AWS_", "DIOPTRA_", "MLFLOW_", "RQ_")
"""What begins the names of variables that lead to servers, or are a worker's own."""
LATE_THREADS = {"dioptra-description", "dioptra-naming"}
"""Threads that may or may not have ended when the first step begins."""
MANIFEST = "manifest.json"
"""What the API adds to a bundle of plugins."""


@dataclass(frozen=True)
class Answer:
    """What came of a job or run.

    Attributes:
        status: ``finished`` or ``failed``.
        said: What the task has logged and printed: severity, logger and words.
        reason: Why it failed.
        metrics: The last value of each metric.
        record: The bytes of its artifact.
    """

    status: str
    said: list[tuple[str, str, str]]
    reason: str
    metrics: dict[str, float]
    record: bytes | None


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return observed(tmp_path_factory.mktemp("observed"))


@pytest.fixture(scope="module", name="bench")
def _bench(
    stack: LocalStack,
    api: ApiClient,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bench]:
    with opened(stack, api, tmp_path_factory.mktemp("worker"), folder) as bench:
        yield bench


def _there(bench: Bench, case: str) -> Answer:
    """As a job of the platform."""
    job = bench.run("observed", values={"case": case, **VALUES.get(case, {})})
    status = job.timeline[-1].status
    return Answer(
        status=status,
        said=_said(
            # Each message begins with the time at which it was written.
            [(one.severity, one.logger, _untimed(one.message)) for one in job.log]
        ),
        reason=_reason(_last_words(job)) if status == "failed" else "",
        metrics={point.name: float(point.value) for point in job.metrics},
        record=(
            bench.contents(job.artifact("record")) if status == "finished" else None
        ),
    )


def _here(folder: Path, place: Path, environment: dict[str, str], case: str) -> Answer:
    """Without a server, or with those that the environment names."""
    values = {"case": case, **VALUES.get(case, {})}
    given = [part for name, one in values.items() for part in ("-P", f"{name}={one}")]
    answer = subprocess.run(
        [PROGRAM, "run", "--json", folder, *given],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert answer.returncode in {0, 1}, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    uri = found["artifacts"].get("record", "")
    return Answer(
        status=found["status"],
        said=_said(
            [(one["severity"], one["logger"], one["message"]) for one in found["log"]]
        ),
        reason=_reason(found["reason"]),
        metrics={name: one["value"] for name, one in found["metrics"].items()},
        record=(
            Path(uri.removeprefix("file://")).read_bytes()
            if uri.startswith("file://")
            else None
        ),
    )


def _alone(environment: dict[str, str]) -> dict[str, str]:
    """The environment of somebody who has no server, but a worker's log level."""
    mine = (*SERVERS, "PYTHON")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(mine)}
    return {**kept, "DIOPTRA_RQ_WORKER_LOG_LEVEL": "DEBUG", "HOME": environment["HOME"]}


def _untimed(message: str) -> str:
    return message.partition(" ")[2]


def _said(lines: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """What tasks have said; the worker speaks of its own affairs, too."""
    ours = ("dioptra_worker", "runner")
    said = [
        (severity, logger, _elsewhere(text))
        for severity, logger, text in lines
        if not logger.startswith(ours)
    ]
    return sorted(said)  # stdout and stderr of a program are two pipes


def _elsewhere(text: str) -> str:
    """A text without the folder of the one job."""
    return re.sub(r"/[^\s']*/\.dioptra/", "JOB/", text)


def _reason(text: str) -> str:
    """Why it failed, without what was measured."""
    return re.sub(r"[\d.]+ ([KM]iB|s)\b", "N", _elsewhere(text))


def _last_words(job: JobResult) -> str:
    """What the last line of a failed job's log says."""
    return _untimed(job.log[-1].message).removeprefix("the job failed: ")


def _observed(answer: Answer) -> dict[str, Any]:
    """What a task saw, with words in place of the folders of the one job."""
    assert answer.record is not None, answer
    text = answer.record.decode()
    found = json.loads(text)
    for place, word in ((found["folder"], "JOB"), (found["tmp"], "TMP")):
        text = text.replace(json.dumps(place)[1:-1], word)
    seen: dict[str, Any] = json.loads(text)
    seen["threads"] = sorted(set(seen["threads"]) - LATE_THREADS)
    for kind in ("files", "plugins"):
        seen[kind] = [name for name in seen[kind] if Path(name).name != MANIFEST]
    return seen


def test_what_can_be_observed(bench: Bench, folder: Path, tmp_path: Path) -> None:
    """Arguments, folders, environment, path, files, signals, streams and run agree."""
    environment = _alone({"HOME": str(tmp_path)})
    there = _observed(_there(bench, ""))
    here = _observed(_here(folder, tmp_path, environment, ""))
    ahead = set(there.pop("modules")), set(here.pop("modules"))
    variables = set(there.pop("environment")), set(here.pop("environment"))
    assert here == there
    assert len(here["argv"]) == 1
    assert here["it is the job's"] == [True, True, True]
    assert "observed/words.txt" not in here["plugins"]
    assert "observed/parts/helper.py" in here["plugins"]
    # The worker has imported MLflow beforehand, and here nothing else is.
    assert ahead[1] - ahead[0] <= {"dioptra_worker.tracking.folder_run"}
    assert variables[1] - variables[0] <= {
        *os.environ,
        "MLFLOW_ALLOW_FILE_STORE",
        "PYTHONBREAKPOINT",
    }
    missing = variables[0] - variables[1]
    # Python sets the last where no variable says what language is spoken.
    assert all(name.startswith((*SERVERS, "LC_CTYPE")) for name in missing), missing


@pytest.mark.parametrize("case", CASES)
def test_what_comes_of_a_task(
    bench: Bench, folder: Path, tmp_path: Path, case: str
) -> None:
    """Status, reason, log, metrics and artifact are the same, whatever a task does."""
    environment = _alone({"HOME": str(tmp_path)})
    if case == "metrics":  # a client needs a Dioptra
        environment |= bench.environment | {"MLFLOW_TRACKING_URI": ""}
    with ThreadPoolExecutor() as pool:
        job = pool.submit(_there, bench, case)
        here = _here(folder, tmp_path, environment, case)
        there = job.result()
    in_mlflow = {"active-run", "another-run", "runs-of-children"}
    if case in in_mlflow:  # in MLflow alone, which is not asked
        here.metrics.clear()
    assert here == there
