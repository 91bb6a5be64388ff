"""``dioptra-worker jobs`` against the real platform: what is there to see of jobs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.people import Person
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.slow

SOURCE = """
@pyplugs.register
def greet(name):
    print("<script>alert('" + name + "')</script> & \\x1b[31mred\\x1b[0m \\x07")
    LOG.warning("careful")
    return name


@pyplugs.register
def measure(value):
    from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client
    jobs = get_authenticated_worker_client(LOG).jobs
    for step in range(3):
        jobs.append_metric_by_id(os.environ["__JOB_ID"], "loss", 1 / (step + 1), step)


@pyplugs.register
def wait_for_file(path):
    print("waiting now")
    while not Path(path).exists():
        time.sleep(0.05)
    print("waited enough")


@pyplugs.register
def boom():
    raise ValueError("no such luck")
"""


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack: LocalStack,
    platform: Platform,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    with worker(stack.environment(), folder, platform.queue) as running:
        yield running


@pytest.fixture(scope="module", name="greeting")
def _greeting(platform: Platform, daemon: WorkerProcess) -> int:
    """A finished job with a parameter, a metric and an artifact."""
    entrypoint = platform.entrypoint(
        SOURCE,
        {"greeting": {"greet": ["$name"]}, "measured": {"measure": ["$greeting"]}},
        parameters={"name": "World"},
        artifact_outputs={"note": {"contents": "$greeting", "task": {"name": "Text"}}},
    )
    job = platform.run(entrypoint, values={"name": "Ada"})
    assert daemon.process.poll() is None
    return job


def _seconds(platform: Platform, job: int, begin: str, end: str) -> float:
    """Seconds between two statuses of a job, as the API has them."""
    found = platform.api.get(f"/jobs/{job}/snapshots", pageLength=100)["data"]
    times = {
        entry["status"]: datetime.fromisoformat(entry["snapshotCreatedOn"])
        for entry in found
    }
    return (times[end] - times[begin]).total_seconds()


def test_list(platform: Platform, person: Person, greeting: int) -> None:
    """A list has the seed's columns, and the durations are those of the snapshots."""
    (row,) = person.json("jobs", "list", "--queue", platform.queue, "--json")
    shown = platform.job(greeting)
    assert row["id"] == greeting
    assert row["status"] == "finished"
    assert row["name"] == shown["entrypoint"]["name"]
    assert row["type"] == "processing"
    assert row["user"] == shown["user"]["username"]
    assert row["experiment"] == shown["experiment"]["name"]
    took = _seconds(platform, greeting, "started", "finished")
    assert row["took_seconds"] == pytest.approx(took)
    assert row["age_seconds"] > took
    head, line = person.told("jobs", "list", "--queue", platform.queue).splitlines()
    assert head.split("\t") == [
        *("ID", "STATUS", "NAME", "TYPE", "USER", "EXPERIMENT", "AGE", "TOOK")
    ]
    assert line.split("\t")[:6] == [
        str(greeting),
        "finished",
        row["name"],
        "processing",
        row["user"],
        row["experiment"],
    ]


def test_types(platform: Platform, person: Person, greeting: int) -> None:
    """A tag on the entrypoint says what type its jobs are of."""
    tags = platform.api.get("/tags/", pageLength=100)["data"]
    tag = next((tag["id"] for tag in tags if tag["name"] == "training"), None)
    if tag is None:
        tag = platform.api.post("/tags/", {"name": "training", "group": 1})["id"]
    entrypoint = platform.job(greeting)["entrypoint"]["id"]
    platform.api.post(f"/entrypoints/{entrypoint}/tags", {"ids": [tag]})
    listing = ("jobs", "list", "--queue", platform.queue, "--json", "--type")
    assert [row["id"] for row in person.json(*listing, "training")] == [greeting]
    assert greeting not in [row["id"] for row in person.json(*listing, "processing")]


def test_show(
    platform: Platform, person: Person, stack: LocalStack, greeting: int
) -> None:
    """A job is shown with its timeline, values, metrics, artifacts and MLflow page."""
    shown = person.json("jobs", "show", greeting, "--json")
    assert shown["parameters"] == {"name": "Ada"}
    statuses = [change["status"] for change in shown["timeline"]]
    assert statuses == ["queued", "started", "finished"]
    assert shown["waited_seconds"] == pytest.approx(
        _seconds(platform, greeting, "queued", "started")
    )
    assert [(m["name"], m["step"]) for m in shown["metrics"]] == [
        ("loss", 0),
        ("loss", 1),
        ("loss", 2),
    ]
    (artifact,) = shown["artifacts"]
    assert artifact["uri"] == platform.artifacts(greeting)["note"]["artifactUri"]
    run = platform.run_id(greeting)
    assert shown["mlflow_run"] == run
    mlflow = stack.environment()["MLFLOW_TRACKING_URI"]
    assert shown["mlflow_page"].startswith(mlflow)
    text = person.told("jobs", "show", greeting)
    for words in ('name = "Ada"', "loss = 1 → 0.5 → 0.3333", artifact["uri"], run):
        assert words in text


def test_inputs(platform: Platform, person: Person, greeting: int) -> None:
    """The artifact that a job was given is shown among its inputs."""
    entrypoint = platform.entrypoint(
        SOURCE, {"greeting": {"greet": ["$note"]}}, artifact_inputs={"note": ["note"]}
    )
    note = platform.artifacts(greeting)["note"]
    given = {"note": {"id": note["id"], "snapshotId": note["snapshot"]}}
    job = platform.submit(entrypoint, artifacts=given)
    shown = person.json("jobs", "show", job, "--json")
    assert [(i["name"], i["artifact_id"]) for i in shown["inputs"]] == [
        ("note", note["id"])
    ]
    assert platform.wait(job) == "finished"


def test_logs(person: Person, greeting: int) -> None:
    """A log reads as it was written, in sections, and does nothing to a terminal."""
    text = person.told("jobs", "logs", greeting)
    assert "<script>alert('Ada')</script> & red \\x07" in text
    assert "\x1b" not in text
    assert "== Step 1 of 2: greeting (greet)" in text
    warnings = person.told("jobs", "logs", "--severity", "warning", greeting)
    assert "careful" in warnings
    assert "<script>" not in warnings
    lines = person.told("jobs", "logs", "--json", "--step", "greeting", greeting)
    entries = [json.loads(line) for line in lines.splitlines()]
    assert {entry["step"] for entry in entries} == {"greeting"}
    assert any("\x1b[31mred\x1b[0m \x07" in entry["text"] for entry in entries)


@pytest.mark.parametrize(("ending", "code"), [("wait_for_file", 0), ("boom", 1)])
def test_follow(
    ending: str,
    code: int,
    platform: Platform,
    person: Person,
    daemon: WorkerProcess,
    tmp_path: Path,
) -> None:
    """A log is followed while the job runs, and ends with the job and by its fate."""
    signal_file = tmp_path / "go"
    graph: dict[str, Any] = {"waiting": {"wait_for_file": [str(signal_file)]}}
    if ending == "boom":
        graph["breaking"] = {"task": "boom", "dependencies": ["waiting"]}
    job = platform.submit(platform.entrypoint(SOURCE, graph))
    with person.calling("jobs", "logs", "--follow", job) as call:
        call.wait_for("waiting now")
        assert platform.status(job) == "started"
        signal_file.touch()
        assert call.wait() == code, call.text
    assert "waited enough" in call.text
    assert ("no such luck" in call.text) == (ending == "boom")
    assert call.text.count("waiting now") == 1
    assert daemon.process.poll() is None


@pytest.mark.timeout(300)
def test_follow_through_a_restart_of_the_api(
    own: LocalStack, own_api: ApiClient, tmp_path: Path
) -> None:
    """A log is followed although the API is killed and comes back meanwhile."""
    platform = Platform(own_api)
    signal_file = tmp_path / "go"
    graph = {"waiting": {"wait_for_file": [str(signal_file)]}}
    with worker(own.environment(), tmp_path, platform.queue):
        job = platform.submit(platform.entrypoint(SOURCE, graph))
        person = Person(own.environment(), tmp_path)
        with person.calling("jobs", "logs", "--follow", job) as call:
            call.wait_for("waiting now")
            own.service("api").kill()
            call.wait_for("waiting: the Dioptra API cannot be reached")
            signal_file.touch()
            own.service("api").start()
            assert call.wait(120) == 0, call.text
    assert "waited enough" in call.text
    assert call.text.count("waiting now") == 1


def test_bad_requests(person: Person, stack: LocalStack) -> None:
    """A job that is not there, no API, a wrong password: one sentence, and its code."""
    for command in ("show", "logs"):
        answer = person.call("jobs", command, 999_999)
        assert answer.returncode == 1
        assert answer.stderr == "there is no job 999999: it was deleted, or never was\n"
    answer = person.call("jobs", "list", DIOPTRA_API="http://127.0.0.1:9")
    assert answer.returncode == 1
    assert "cannot be reached" in answer.stderr
    assert answer.stderr.count("\n") == 1
    answer = person.call("jobs", "list", DIOPTRA_WORKER_PASSWORD="wrong")
    assert answer.returncode == 3
    assert "DIOPTRA_WORKER_PASSWORD" in answer.stderr
    assert answer.stderr.count("\n") == 1
    answer = person.call("jobs", "list", DIOPTRA_USERNAME="ada", DIOPTRA_PASSWORD="no")
    assert answer.returncode == 3
    assert "'ada'" in answer.stderr
    assert "check DIOPTRA_USERNAME and DIOPTRA_PASSWORD" in answer.stderr
    answer = person.call("jobs", "list", DIOPTRA_USERNAME="ada")
    assert answer.returncode == 2
    assert "DIOPTRA_PASSWORD is missing" in answer.stderr
    assert stack.environment()["DIOPTRA_API"] not in answer.stderr
