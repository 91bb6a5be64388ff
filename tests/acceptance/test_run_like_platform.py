"""The same entrypoint gives the same, as a job of the platform and without a server."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.acceptance.bench import EXAMPLES, PROGRAM, Bench, opened
from tests.unit.tools.workbench.folders import write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.clients import ApiClient, MlflowReader

    from dioptra_worker.tools.local import LocalStack
    from dioptra_worker.tools.resources import JobResult

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
]  # two jobs and two runs, and a stack

TAKEN = ("AWS_", "DIOPTRA_", "MLFLOW_", "RQ_")


@pytest.fixture(scope="module", name="bench")
def _bench(
    stack: LocalStack, api: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    names = (
        *("hello-world", "artifact-chain", "sklearn-evaluation"),
        *("batch-evaluation", "failing-job"),
    )
    folders = [EXAMPLES / name for name in names]
    with opened(stack, api, tmp_path_factory.mktemp("worker"), *folders) as bench:
        yield bench


def _here(
    folder: Path, *arguments: str | Path, environment: dict[str, str]
) -> dict[str, Any]:
    answer = subprocess.run(
        [PROGRAM, "run", "--json", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert answer.returncode in {0, 1}, answer.stdout + answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    assert (found["status"] == "finished") is (answer.returncode == 0), found
    return found


def _alone(bench: Bench, folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run without any server; nothing in the environment names one."""
    environment = {
        name: value
        for name, value in bench.environment.items()
        if not name.startswith(TAKEN)
    }
    return _here(folder, *arguments, environment=environment)


def _path(found: dict[str, Any], artifact: str) -> Path:
    return Path(found["artifacts"][artifact].removeprefix("file://"))


def _history(found: dict[str, Any]) -> set[tuple[str, int, float]]:
    """Every value of every metric of a run in a folder."""
    folder = Path(found["store"], "0", found["run"], "metrics")
    return {
        (file.name, int(step), float(value))
        for file in folder.iterdir()
        for _, value, step in map(str.split, file.read_text().splitlines())
    }


def _told_by_tasks(lines: list[tuple[str, str]]) -> list[str]:
    """What the tasks themselves have logged and printed."""
    ours = ("dioptra_worker", "runner")
    return [text for logger, text in lines if not logger.startswith(ours)]


def _same_log(found: dict[str, Any], job: JobResult) -> None:
    here = _told_by_tasks([(one["logger"], one["message"]) for one in found["log"]])
    there = _told_by_tasks(
        # Each message begins with the time at which it was written.
        [(line.logger, line.message.partition(" ")[2]) for line in job.log]
    )
    assert here
    assert here == there


def test_hello_world(bench: Bench, mlflow_reader: MlflowReader, tmp_path: Path) -> None:
    """Parameters, artifact and log are the same."""
    job = bench.run("hello-world", values={"name": "Ada", "times": 2})
    found = _alone(
        bench, tmp_path, EXAMPLES / "hello-world", "-P", "name=Ada", "-P", "times=2"
    )
    assert _path(found, "letter").read_bytes() == bench.contents(job.artifact("letter"))
    assert job.run_id is not None
    kept = tmp_path / "mlruns/0" / found["run"] / "params"
    assert {file.name: file.read_text() for file in kept.iterdir()} == (
        mlflow_reader.parameters(job.run_id)
    )
    _same_log(found, job)


def test_a_chain(bench: Bench, tmp_path: Path) -> None:
    """Artifacts of one run, a file and a folder, make the same of the next."""
    produced = bench.run("chain-produce", values={"days": 4})
    consumed = bench.run(
        "chain-consume",
        artifacts={
            "readings": produced.artifact("readings"),
            "by_day": produced.artifact("by-day"),
        },
    )
    chain = EXAMPLES / "artifact-chain"
    first = _alone(bench, tmp_path, chain / "produce.yml", "-P", "days=4")
    second = _alone(
        bench,
        tmp_path,
        chain / "consume.yml",
        *("--artifact", f"readings={_path(first, 'readings')}"),
        *("--artifact", f"by_day={_path(first, 'by-day')}"),
    )
    for found, job, name in (
        (first, produced, "readings"),
        (second, consumed, "summary"),
    ):
        assert _path(found, name).read_bytes() == bench.contents(job.artifact(name))
        _same_log(found, job)


def test_an_evaluation(bench: Bench, tmp_path: Path) -> None:
    """Every value of every metric, and the table made of them, are the same."""
    job = bench.run("sklearn-evaluation", values={"strength": 0.2, "seed": 3})
    found = _alone(
        bench,
        tmp_path,
        EXAMPLES / "sklearn-evaluation",
        *("-P", "strength=0.2", "-P", "seed=3"),
    )
    assert _history(found) == {
        (point.name, point.step or 0, float(point.value)) for point in job.metrics
    }
    name = "accuracy-by-strength"
    assert _path(found, name).read_bytes() == bench.contents(job.artifact(name))


def test_a_batch(bench: Bench, tmp_path: Path) -> None:
    """The same elements are processed, and the same is said of them."""
    values = {"elements": '["5", "7", "8"]', "first": 100}
    job = bench.run("batch-evaluation", values=values)
    given = [part for name, one in values.items() for part in ("-P", f"{name}={one}")]
    found = _alone(bench, tmp_path, EXAMPLES / "batch-evaluation", *given)
    assert job.timeline[-1].status == found["status"] == "finished"
    _same_log(found, job)


@pytest.mark.parametrize("how", ["exception", "exit", "killed"])
def test_a_failure(bench: Bench, tmp_path: Path, how: str) -> None:
    """It fails in both for the same reason, and has said the same until then."""
    job = bench.run("failing-job", values={"how": how})
    found = _alone(bench, tmp_path, EXAMPLES / "failing-job", "-P", f"how={how}")
    assert job.timeline[-1].status == found["status"] == "failed"
    _same_log(found, job)
    last = job.log[-1].message.partition(" ")[2].removeprefix("the job failed: ")
    measured = r"[\d.]+ ([KM]iB|s)\b|process \d+"
    assert re.sub(measured, "N", found["reason"]) == re.sub(measured, "N", last)


def test_with_servers_that_are_configured(
    bench: Bench, mlflow_reader: MlflowReader, tmp_path: Path
) -> None:
    """The configured MLflow keeps the run, and plugins reach the configured Dioptra."""
    write(
        tmp_path,
        {
            "asks.yml": """
            tasks:
              ask: {plugin: asks.tasks.ask, outputs: {names: any}}
            graph:
              asked: {task: ask}
            artifact_outputs:
              names: {contents: $asked, task: {name: Lines}}
            """,
            "plugins/asks/tasks.py": """
            import os
            from pathlib import Path

            import structlog
            from dioptra import pyplugs
            from dioptra.sdk.api.artifact import ArtifactTaskInterface
            from dioptra.sdk.utilities.auth_client import (
                get_authenticated_worker_client,
            )

            @pyplugs.register
            def ask():
                assert "DIOPTRA_WORKER_PASSWORD" not in os.environ
                client = get_authenticated_worker_client(structlog.get_logger(), "json")
                job = int(os.environ["__JOB_ID"])
                client.jobs.append_metric_by_id(job, "asked", 1.5, 3)
                return [queue["name"] for queue in client.queues.get()["data"]]

            class Lines(ArtifactTaskInterface):
                @staticmethod
                def serialize(working_dir, name, contents, **kwargs):
                    path = Path(working_dir, name + ".txt")
                    path.write_text("\\n".join(contents))
                    return path

                @staticmethod
                def deserialize(working_dir, path, **kwargs):
                    return Path(working_dir, path).read_text().splitlines()

                @staticmethod
                def validation():
                    return None
            """,
        },
    )
    found = _here(tmp_path, "asks.yml", environment=bench.environment)
    assert found["store"] is None
    assert found["artifacts"]["names"].startswith("s3://")
    assert mlflow_reader.status(found["run"]) == "FINISHED"
    assert mlflow_reader.metrics(found["run"]) == {"asked": 1.5}
    assert "dioptra.jobId" not in mlflow_reader.tags(found["run"])
    assert mlflow_reader.artifacts(found["run"], "names") == ["names/names.txt"]
    assert not (tmp_path / "mlruns").exists()
