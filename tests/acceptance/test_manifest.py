"""Each job's manifest lies beside its artifacts, and its receipt says what arrived."""

from __future__ import annotations

import hashlib
import html
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from tests.plugins.fault_proxy import Answered, Exchange, Rule, fault_proxy
from tests.plugins.until import until
from tests.plugins.worker_process import worker
from tests.unit.tools.workbench.folders import EXAMPLES

from dioptra_worker.provenance.chain import chained, log_record
from dioptra_worker.provenance.manifest import MANIFEST_TAG, RECEIPT_TAG, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from tests.plugins.clients import MlflowReader
    from tests.plugins.people import Person
    from tests.plugins.testbed import Platform

    from dioptra_worker.provenance.manifest import Manifest
    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

SOURCE = """
import mlflow
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client


@pyplugs.register
def work(count, text):
    client = get_authenticated_worker_client(LOG, "json")
    for number in range(count):
        print("line", number)
    sys.stdout.flush()
    for step in range(5):
        client.jobs.append_metric_by_id(
            job_id=os.environ["__JOB_ID"],
            metric_name="loss",
            metric_value=1.0 / (step + 1),
            metric_step=step,
        )
        mlflow.log_metric("accuracy", step / 5, step=step)
    return {"a.txt": text, "deep/b.txt": text * 2}


@pyplugs.register
def again(found):
    return found["a.txt"]
"""
GRAPH = {"work": {"work": ["$count", "$text"]}}
OUTPUTS = {
    "kept": {"contents": "$work", "task": {"name": "Folder"}},
}


def _submit(platform: Platform, *, count: int = 20) -> int:
    entrypoint = platform.entrypoint(
        SOURCE,
        GRAPH,
        parameters={"count": count, "text": "some text"},
        artifact_outputs=OUTPUTS,
    )
    return platform.submit(entrypoint)


def _receipt(platform: Platform, mlflow_reader: MlflowReader, job: int) -> str:
    """The receipt of a job that is over, which comes a moment later."""
    run = platform.run_id(job)
    until(lambda: RECEIPT_TAG in mlflow_reader.tags(run))
    return mlflow_reader.tags(run)[RECEIPT_TAG]


def _manifest(mlflow_reader: MlflowReader, s3: S3Client, run: str) -> Manifest:
    """The manifest that the run's tag names, from the store."""
    uri = mlflow_reader.run(run)["info"]["artifact_uri"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data = s3.get_object(Bucket=bucket, Key=f"{key}/dioptra/manifest.json")
    content = data["Body"].read()
    tag = mlflow_reader.tags(run)[MANIFEST_TAG]
    assert hashlib.sha256(content).hexdigest() == tag
    return read_manifest(content)


def _verified(person: Person, job: int) -> list[str]:
    """What ``jobs verify`` says is missing."""
    ended = person.call("jobs", "verify", "--json", job)
    found = json.loads(ended.stdout)
    assert ended.returncode == (0 if found["complete"] else 1), ended.stderr
    return [missing["words"] for missing in found["missing"]]


def test_a_healthy_job(
    stack: LocalStack,
    platform: Platform,
    mlflow_reader: MlflowReader,
    s3: S3Client,
    person: Person,
    tmp_path: Path,
) -> None:
    """All of it arrives; the manifest names every file, point and line, as it is."""
    with worker(stack.environment(), tmp_path, platform.queue) as daemon:
        job = _submit(platform)
        assert platform.wait(job) == "finished", platform.text(job)
        assert _receipt(platform, mlflow_reader, job) == "complete", daemon.log
    manifest = _manifest(mlflow_reader, s3, platform.run_id(job))
    # The source is the entrypoint, and neither the worker's file nor its commit.
    tags = mlflow_reader.tags(platform.run_id(job))
    entrypoint = manifest.job.entrypoint
    source = f"{entrypoint.name} (snapshot {entrypoint.snapshot})"
    assert tags["mlflow.source.name"] == source
    assert tags["mlflow.source.type"] == "JOB"
    assert not {tag for tag in tags if tag.startswith("mlflow.source.git")}
    assert manifest.job.id == job
    assert manifest.job.status == "finished"
    assert (manifest.job.attempt, manifest.job.queue) == (1, platform.queue)
    values = {it.name: (it.type, it.value) for it in manifest.plan.parameters}
    assert values == {"count": ("integer", 20), "text": ("string", "some text")}
    assert manifest.plan.graph["graph"]
    plugins = {(it.role, it.path.rpartition("/")[2]) for it in manifest.plugins}
    assert {role for role, _ in plugins} == {"tasks", "artifacts"}
    assert all(len(it.sha256) == 64 for it in manifest.plugins)
    (kept,) = manifest.outputs
    assert {it.path: it.sha256 for it in kept.files} == {
        "a.txt": hashlib.sha256(b"some text").hexdigest(),
        "deep/b.txt": hashlib.sha256(b"some text" * 2).hexdigest(),
    }
    loss, accuracy = (manifest.metrics.names[it] for it in ("loss", "accuracy"))
    assert (loss.points, loss.steps, loss.direct) == (5, 5, 0)
    assert (accuracy.points, accuracy.direct) == (0, 5)
    # The log as anybody can read it gives the same digest, but for its end.
    page = platform.api.get(f"/jobs/{job}/log", pageLength=1000)
    *lines, last = page["data"]
    assert last["message"].endswith("the job finished")
    found = [
        log_record(it["severity"], it["loggerName"], html.unescape(it["message"]))
        for it in lines
    ]
    # What an API that is slow makes the worker say after the job's end is no part.
    (segment,) = manifest.log.segments
    records = [it for it in found if it["time"] <= segment.last]
    assert manifest.log.lines == len(records)
    assert manifest.log.chain == chained(records)
    assert "mlflow-skinny" in manifest.environment.packages
    assert manifest.determinism.seed
    assert not list((tmp_path / "jobs" / "records").iterdir())
    # Asked again, it is still there; one byte that is changed in the store is told.
    assert _verified(person, job) == []
    assert person.json("jobs", "show", "--json", job)["receipt"] == "complete"
    bucket, _, key = kept.uri.removeprefix("s3://").partition("/")
    s3.put_object(Bucket=bucket, Key=f"{key}/a.txt", Body=b"sOme text")
    assert _verified(person, job) == ["kept/a.txt: other content"]


def test_a_run_without_the_platform(
    mlflow_reader: MlflowReader, s3: S3Client, person: Person
) -> None:
    """What MLflow keeps of a person's run has its manifest and a receipt."""
    found = person.json("run", "--json", EXAMPLES / "hello-world")
    assert found["status"] == "finished", found
    assert mlflow_reader.tags(found["run"])[RECEIPT_TAG] == "complete"
    manifest = _manifest(mlflow_reader, s3, found["run"])
    assert (manifest.job.id, manifest.log.lines) == (0, 0)
    (letter,) = manifest.outputs
    assert [it.path for it in letter.files] == ["letter.md"]


def test_what_was_lost_on_the_way_is_counted(
    stack: LocalStack,
    platform: Platform,
    mlflow_reader: MlflowReader,
    s3: S3Client,
    person: Person,
    tmp_path: Path,
) -> None:
    """A batch of lines, points and half a file that vanish are told in numbers."""
    lines: list[Any] = []

    def swallow(exchange: Exchange) -> None:
        lines.extend(json.loads(exchange.body)["data"])
        pretend(exchange)

    def pretend(exchange: Exchange) -> None:
        headers = [("Content-Type", "application/json")]
        exchange.reply(Answered(200, headers, b"{}"))

    def truncate(exchange: Exchange) -> None:
        answered = exchange.forward()
        bucket, _, key = exchange.handler.path.lstrip("/").partition("/")
        half = exchange.body[: len(exchange.body) // 2]
        s3.put_object(Bucket=bucket, Key=unquote(key.partition("?")[0]), Body=half)
        exchange.reply(answered)

    environment = dict(stack.environment())
    with (
        fault_proxy(environment["DIOPTRA_API"]) as api,
        fault_proxy(environment["MLFLOW_TRACKING_URI"]) as mlflow,
        fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as store,
    ):
        api.add(Rule("POST", "/log$", swallow, body="line 7"))
        api.add(Rule("POST", "/metrics$", pretend, times=2, body="loss"))
        mlflow.add(Rule("POST", "/runs/log-metric", pretend, body="accuracy"))
        store.add(Rule("PUT", "deep/b.txt", truncate))
        environment |= {
            "DIOPTRA_API": api.url,
            "MLFLOW_TRACKING_URI": mlflow.url,
            "MLFLOW_S3_ENDPOINT_URL": store.url,
        }
        with worker(environment, tmp_path, platform.queue) as daemon:
            job = _submit(platform)
            assert platform.wait(job) == "finished", platform.text(job)
            receipt = _receipt(platform, mlflow_reader, job)
            daemon.wait_for("receipt: partial")
    assert receipt == (
        f"partial: {len(lines)} log lines, 1 point of 'accuracy' in MLflow,"
        " 2 points of 'loss', kept/deep/b.txt: the last 9 of 18 bytes"
    )
    assert ", ".join(_verified(person, job)) == receipt.removeprefix("partial: ")
    assert receipt in person.told("jobs", "show", job)
