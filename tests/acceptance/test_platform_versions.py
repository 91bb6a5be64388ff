"""Older versions of the platform: jobs run on their REST APIs, or are not taken."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import requests
from rq import Queue, Worker
from rq.command import send_stop_job_command
from tests.plugins.clients import ApiClient, MlflowReader
from tests.plugins.older_platforms import older_mlflow, older_python
from tests.plugins.outcomes import FAILED, Witness
from tests.plugins.people import Person
from tests.plugins.stack import fresh_stack
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import WorkerProcess, worker

from dioptra_worker.broker.connection import connect
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.tools.local import environment as local_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

QUEUE = "local"
SOURCE = """
@pyplugs.register
def greet(name):
    print("hello", name)
    return "hello " + name


@pyplugs.register
def end(how):
    print("about to end")
    if how == "raise":
        raise LookupError("nothing under that name")
    time.sleep(120)
"""


# -- served ------------------------------------------------------------------------


@pytest.fixture(scope="module", name="stack")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    folder = tmp_path_factory.mktemp("served") / "stack"
    with fresh_stack(folder, python=older_python("1.1.0")) as stack:
        yield stack


@pytest.fixture(scope="module", name="platform")
def _platform(stack: LocalStack) -> Iterator[Platform]:
    api = ApiClient(stack.environment())
    yield Platform(api)
    api.close()


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack: LocalStack, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    with worker(
        stack.environment(),
        tmp_path_factory.mktemp("worker"),
        platform.queue,
        settings={"DIOPTRA_WORKER_STATUS_POLL": "0.5"},
    ) as running:
        yield running


def _ending(platform: Platform, how: str, timeout: str = "10m") -> int:
    """A job that ends in a certain way; how, it says itself."""
    entrypoint = platform.entrypoint(SOURCE, {"ending": {"end": [how]}})
    return platform.submit(entrypoint, timeout=timeout)


@pytest.mark.usefixtures("daemon")
def test_an_artifact_goes_from_job_to_job(platform: Platform) -> None:
    """What one job has stored is read by the next, and is in the API as it was."""
    _hand_over(platform)


def _hand_over(platform: Platform) -> None:
    """Have one job store an artifact and another read it."""
    writer = platform.entrypoint(
        SOURCE,
        {"greeting": {"greet": ["$name"]}},
        artifact_outputs={
            "letter": {"contents": "$greeting", "task": {"name": "Text"}}
        },
        parameters={"name": "world"},
    )
    job = platform.run(writer, values={"name": "Ada"})
    assert "hello Ada" in platform.text(job)
    stored = platform.artifacts(job)["letter"]
    assert platform.content(stored) == b"hello Ada"
    reader = platform.entrypoint(
        SOURCE,
        {"greeting": {"greet": ["$letter"]}},
        artifact_inputs={"letter": ["read"]},
    )
    given = {"letter": {"id": stored["id"], "snapshotId": stored["snapshot"]}}
    assert "hello hello Ada" in platform.text(platform.run(reader, artifacts=given))


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("how", "timeout", "words"),
    [
        ("raise", "10m", "nothing under that name"),
        ("sleep", "1s", "timed out after its limit of 1.0 s"),
    ],
)
def test_a_job_that_fails(
    stack: LocalStack, platform: Platform, how: str, timeout: str, words: str
) -> None:
    """It has failed everywhere, and its log says why."""
    witness = Witness(stack.environment())
    outcome = witness.outcome(_ending(platform, how, timeout), says=words)
    witness.close()
    assert outcome.statuses == FAILED


def test_a_job_that_is_stopped(
    stack: LocalStack, platform: Platform, daemon: WorkerProcess
) -> None:
    """RQ's command ends it, and a deletion the next one; the worker goes on."""
    mlflow = MlflowReader(stack.environment())
    stopped = _ending(platform, "sleep")
    platform.wait_for_line(stopped, "about to end")
    with connect(stack.environment()["RQ_REDIS_URI"]) as client:
        send_stop_job_command(client, str(stopped))
    assert platform.wait(stopped) == "failed"
    assert mlflow.status(platform.run_id(stopped)) == "KILLED"
    deleted = _ending(platform, "sleep")
    platform.wait_for_line(deleted, "about to end")
    run = platform.run_id(deleted)
    platform.api.delete(f"/jobs/{deleted}")
    daemon.wait_for(f"job {deleted} dropped")
    assert mlflow.status(run) == "KILLED"
    mlflow.close()


# -- an older MLflow ---------------------------------------------------------------


def test_a_server_of_mlflow_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our newer client stores with it, and reads that; a failure is seen, too."""
    with ExitStack() as closing:
        with monkeypatch.context() as patch:
            # The services alone have it, the REST API too: the worker's is today's.
            handed_on = (*local_environment._INHERITED, "PYTHONPATH")
            patch.setattr(local_environment, "_INHERITED", handed_on)
            patch.setenv("PYTHONPATH", str(older_mlflow()))
            stack = closing.enter_context(fresh_stack(tmp_path / "stack"))
        environment = stack.environment()
        version = requests.get(
            f"{environment['MLFLOW_TRACKING_URI']}/version", timeout=30
        )
        assert version.text.startswith("2.22.")
        api = ApiClient(environment)
        closing.callback(api.close)
        platform = Platform(api)
        closing.enter_context(worker(environment, tmp_path, platform.queue))
        _hand_over(platform)
        witness = Witness(environment)
        closing.callback(witness.close)
        failed = witness.outcome(_ending(platform, "raise"), says="nothing under that")
        assert failed.statuses == FAILED


# -- refused -----------------------------------------------------------------------


def test_a_platform_that_is_too_old(tmp_path: Path) -> None:
    """No job of it is taken, and both the worker and the doctor say why."""
    version = "1.0.1"
    with fresh_stack(tmp_path / "stack", python=older_python(version)) as stack:
        environment = stack.environment()
        job = _submit_to_older(environment)
        with worker(environment, tmp_path, QUEUE, ready=False) as running:
            assert running.wait() == ExitCode.REFUSED
        words = f"is of dioptra-platform {version}, which lacks what this worker needs"
        upgrade = "upgrade dioptra-platform to 1.1 or newer"
        last = running.log.splitlines()[-1]
        assert f"{words}: {upgrade}" in last
        api = ApiClient(environment)
        assert api.get(f"/jobs/{job}")["status"] == "queued"
        api.close()
        with connect(environment["RQ_REDIS_URI"]) as client:
            assert Queue(QUEUE, connection=client).job_ids == [str(job)]
            assert Worker.all(connection=client) == []
        found = Person(environment, tmp_path).call("doctor", "--json", QUEUE)
        assert found.returncode == ExitCode.FAILED
        checks = {it["name"]: it for it in json.loads(found.stdout)["checks"]}
        assert words in checks["Dioptra API"]["detail"]
        assert checks["Dioptra API"]["fix"] == upgrade


def _submit_to_older(environment: Mapping[str, str]) -> int:
    """Submit a job as the API took it before there were artifacts' tasks."""
    api = ApiClient(environment)
    queue = api.queue_id(QUEUE)
    named = {"group": 1, "name": "old", "description": ""}
    experiment = api.post("/experiments/", named)["id"]
    entrypoint = api.post(
        "/entrypoints/",
        named
        | {"taskGraph": "step:\n  task: []\n", "parameters": []}
        | {"queues": [queue], "plugins": []},
    )["id"]
    api.post(f"/experiments/{experiment}/entrypoints", {"ids": [entrypoint]})
    job = {"description": "", "queue": queue, "entrypoint": entrypoint}
    submitted = api.post(
        f"/experiments/{experiment}/jobs", job | {"values": {}, "timeout": "10m"}
    )
    api.close()
    return int(submitted["id"])
