"""Jobs of the real platform, run by the real executable, judged by what a user sees."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.clients import MlflowReader

    from dioptra_worker.tools.local import LocalStack

STYLES = """
@pyplugs.register
def number(n):
    return n


@pyplugs.register
def combine(a, b, c="c"):
    LOG.info("combining", a=a, b=b, c=c)
    return [a, b, c]


@pyplugs.register
def show(value, also=None):
    print("value:", value, also)
"""


@pytest.fixture(
    scope="module",
    name="daemon",
    params=["fork", pytest.param("spawn", marks=pytest.mark.slow)],
)
def _daemon(
    request: pytest.FixtureRequest,
    stack: LocalStack,
    platform: Platform,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    options = ["--isolation", request.param, platform.queue]
    with worker(stack.environment(), folder, *options) as running:
        yield running


def test_styles(platform: Platform, daemon: WorkerProcess) -> None:
    """Positional, keyword and mixed calls get the values that references stand for."""
    graph = {
        "three": {"combine": {"a": "$one", "b": ["$two", {"deep": "$greeting"}]}},
        "one": {"number": [1]},
        "two": {"number": {"n": "$$two"}},
        "mixed": {"task": "combine", "args": ["$one"], "kwargs": {"b": "$two.value"}},
        "last": {"show": ["$three", "$mixed"], "dependencies": ["two"]},
    }
    entrypoint = platform.entrypoint(STYLES, graph, parameters={"greeting": "hi"})
    job = platform.run(entrypoint, values={"greeting": "hello"})
    text = platform.text(job)
    assert "value: [1, ['$two', {'deep': 'hello'}], 'c'] [1, '$two', 'c']" in text
    assert "combining a=1 b=['$two', {'deep': 'hello'}] c='c'" in text
    assert daemon.process.poll() is None


ARTIFACTS = """
@pyplugs.register
def make():
    return "made <here> & now"


@pyplugs.register
def folder():
    return {"a.txt": "A", "deep/b.txt": "B"}


@pyplugs.register
def read(text, files):
    print("read:", text, "|", files)
"""


def test_artifacts(
    platform: Platform, daemon: WorkerProcess, mlflow_reader: MlflowReader
) -> None:
    """A file and a folder written by one job are what another job reads."""
    outputs = {
        "note": {
            "contents": "$made",
            "task": {"name": "Text", "args": {"suffix": "md"}},
        },
        "tree": {"contents": "$filled", "task": {"name": "Folder"}},
    }
    graph: dict[str, object] = {"made": {"make": []}, "filled": {"folder": []}}
    producer = platform.entrypoint(ARTIFACTS, graph, artifact_outputs=outputs)
    first = platform.run(producer)
    found = platform.artifacts(first)
    assert found.keys() == {"note", "tree"}
    assert platform.content(found["note"]) == b"made <here> & now"
    assert found["note"]["artifactUri"].endswith("artifacts/note/note.md")
    assert sorted(platform.folder(found["tree"]).values()) == [b"A", b"B"]
    logged = set(mlflow_reader.artifacts(platform.run_id(first)))
    logged.discard("dioptra")  # what is stored once it has ended
    assert logged == {"note", "tree", f"{producer.name}.yml"}

    consumer = platform.entrypoint(
        ARTIFACTS,
        {"reading": {"read": {"text": "$note", "files": "$tree.files"}}},
        artifact_inputs={"note": ["text"], "tree": ["files"]},
    )
    inputs = {
        name: {"id": entry["id"], "snapshotId": entry["snapshot"]}
        for name, entry in found.items()
    }
    second = platform.run(consumer, artifacts=inputs)
    expected = "read: made <here> & now | {'a.txt': 'A', 'deep/b.txt': 'B'}"
    assert expected in platform.text(second)
    assert daemon.process.poll() is None


CHANGES_VARIABLES = """
@pyplugs.register
def make():
    os.environ.update(AWS_ACCESS_KEY_ID="of-the-data", AWS_PROFILE="nowhere")
    os.environ["MLFLOW_S3_ENDPOINT_URL"] = "http://127.0.0.1:9"
    del os.environ["AWS_SECRET_ACCESS_KEY"]
    return "kept all the same"
"""


def test_a_task_that_changes_variables(
    platform: Platform, daemon: WorkerProcess
) -> None:
    """Variables that a task sets for data of its own are not those of its artifacts."""
    outputs = {"note": {"contents": "$made", "task": {"name": "Text"}}}
    graph: dict[str, object] = {"made": {"make": []}}
    job = platform.run(
        platform.entrypoint(CHANGES_VARIABLES, graph, artifact_outputs=outputs)
    )
    assert platform.content(platform.artifacts(job)["note"]) == b"kept all the same"
    assert daemon.process.poll() is None


METRICS = """
import mlflow
from dioptra.client import connect_json_dioptra_client
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client


@pyplugs.register
def measure(points):
    client = get_authenticated_worker_client(LOG, "json")
    job = os.environ["__JOB_ID"]
    for step in range(points):
        client.jobs.append_metric_by_id(
            job_id=job,
            metric_name="loss",
            metric_value=1 / (step + 1),
            metric_step=step,
        )
    client.jobs.append_metric_by_id(
        job_id=job, metric_name="odd", metric_value=float("nan"), metric_step=None
    )
    mlflow.log_metric("fluent", 0.5)
    mlflow.log_param("given", points)
    print("status seen from inside:", client.jobs.get_by_id(job)["status"])
    print("password:", os.environ.get("DIOPTRA_WORKER_PASSWORD"))
    print("redis:", os.environ.get("RQ_REDIS_URI"))
    print("folder:", sorted(os.listdir(".")))
"""


def test_metrics_and_mlflow(
    platform: Platform,
    daemon: WorkerProcess,
    stack: LocalStack,
    mlflow_reader: MlflowReader,
) -> None:
    """Metrics reach the API in order, fluent MLflow calls land on the job's run."""
    entrypoint = platform.entrypoint(
        METRICS,
        {"measuring": {"measure": {"points": "$points"}}},
        parameters={"points": 3},
    )
    job = platform.run(entrypoint, values={"points": "5"})
    history = platform.api.get(f"/jobs/{job}/metrics/loss/snapshots", pageLength=100)
    points = sorted((entry["step"], entry["value"]) for entry in history["data"])
    assert points == [(step, 1 / (step + 1)) for step in range(5)]
    metrics = {m["name"]: m["value"] for m in platform.api.get(f"/jobs/{job}/metrics")}
    assert str(metrics["odd"]).lower() == "nan"

    run = platform.run_id(job)
    assert mlflow_reader.status(run) == "FINISHED"
    assert mlflow_reader.metrics(run)["fluent"] == 0.5
    assert mlflow_reader.parameters(run) == {"points": "5", "given": "5"}
    tags = mlflow_reader.tags(run)
    assert tags["dioptra.jobId"] == str(job)
    assert tags["mlflow.runName"] == f"{entrypoint.name} (job {job})"

    text = platform.text(job)
    assert "status seen from inside: started" in text
    assert "password: None" in text
    assert "redis: None" in text
    assert stack.environment()["DIOPTRA_WORKER_PASSWORD"] not in text
    assert daemon.process.poll() is None


LOGS = """
import logging
import warnings


@pyplugs.register
def talk():
    print("one")
    LOG.info("two <class 'int'>", answer=42)
    print("three", file=sys.stderr)
    logging.getLogger("mine").warning("four & five %s", "<b>bold</b>")
    sys.stdout.write("five, no line end, ")
    sys.stdout.flush()
    sys.stdout.write("and its end\\n")
    for percent in range(0, 101, 10):
        sys.stderr.write(f"\\rprogress {percent}%")
        sys.stderr.flush()
    sys.stderr.write("\\n")
    LOG.debug("not shown at INFO") if False else None
    logging.log(25, "between")
    print("surrogate \\udcff and nul \\0 and \\N{SNOWMAN}")
    subprocess.run(["sh", "-c", "echo from a child; echo child error >&2"])
    time.sleep(0.3)
    warnings.warn("be careful")
    os.write(1, b"raw bytes \\xff\\n")
    time.sleep(0.3)
    print("last")
"""


def test_log(platform: Platform, daemon: WorkerProcess) -> None:
    """Everything a job says is in its log, in order and unharmed."""
    job = platform.run(platform.entrypoint(LOGS, {"talking": {"talk": []}}))
    lines = platform.log(job)
    texts = [line.text for line in lines]
    order = [
        "one",
        "two <class 'int'> answer=42",
        "three",
        "four & five <b>bold</b>",
        "five, no line end, and its end",
        "progress 100%",
        "between",
        "surrogate \\udcff and nul \\x00 and \N{SNOWMAN}",
        "from a child",
    ]
    places = [texts.index(text) for text in order]
    assert places == sorted(places), texts
    assert texts.index("raw bytes \\xff") < texts.index("last")
    by_text = {line.text: line for line in lines}
    assert by_text["one"].logger == "stdout"
    assert by_text["three"].severity == "WARNING"
    assert by_text["child error"].logger == "stderr"
    assert by_text["between"].severity == "INFO"
    assert by_text["four & five <b>bold</b>"].logger == "mine"
    assert any("UserWarning: be careful" in text for text in texts)
    assert texts[-1] == "the job finished"
    assert daemon.process.poll() is None


LIVE = """
@pyplugs.register
def wait_for_file(path):
    print("waiting now")
    deadline = time.time() + 60
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.05)
    print("seen")
"""


def test_live_log(platform: Platform, daemon: WorkerProcess, tmp_path: Path) -> None:
    """A line is in the job's log while the job still runs."""
    signal_file = tmp_path / "go"
    graph = {"waiting": {"wait_for_file": [str(signal_file)]}}
    job = platform.submit(platform.entrypoint(LIVE, graph))
    platform.wait_for_line(job, "waiting now")
    assert platform.status(job) == "started"
    signal_file.touch()
    assert platform.wait(job) == "finished"
    assert daemon.process.poll() is None


FAILING = """
@pyplugs.register
def boom(values):
    return values["missing"]
"""


def test_failure(
    platform: Platform, daemon: WorkerProcess, mlflow_reader: MlflowReader
) -> None:
    """A task that raises fails its job, and the log shows the plugin's line first."""
    entrypoint = platform.entrypoint(FAILING, {"breaking": {"boom": [{"there": 1}]}})
    job = platform.run(entrypoint, ends="failed")
    assert mlflow_reader.status(platform.run_id(job)) == "FAILED"
    text = platform.text(job)
    assert "KeyError: 'missing'" in text
    assert f"{entrypoint.plugin}/tasks.py" in text
    assert 'return values["missing"]' in text
    assert "dioptra_worker/engine" not in text
    last = platform.log(job)[-1]
    assert last.severity == "ERROR"
    assert "'breaking'" in last.text
    assert text.count("Traceback (most recent call last)") <= 2  # cause and effect
    assert daemon.process.poll() is None


def test_refused_graph(platform: Platform, daemon: WorkerProcess) -> None:
    """A function that is not registered is told before the first step runs."""
    source = """
@pyplugs.register
def fine():
    print("the first step ran")
"""
    other = "def plain():\n    return 1\n"
    entrypoint = platform.entrypoint(
        source, {"first": {"fine": []}}, files={"other.py": other}, own=True
    )
    plugin = platform.api.get("/plugins/", search=f'name:"{entrypoint.plugin}"')
    files = plugin["data"][0]["files"]
    tasks = next(f for f in files if f["filename"] == "tasks.py")
    path = f"/plugins/{plugin['data'][0]['id']}/files/{tasks['id']}"
    body = platform.api.get(path)
    renamed = body["contents"].replace("def fine", "def fines")
    platform.api.put(
        path,
        {
            "filename": "tasks.py",
            "contents": renamed,
            "description": "",
            "tasks": {
                "functions": [{"name": "fine", "inputParams": [], "outputParams": []}],
                "artifacts": [],
            },
        },
    )
    plugin_id = plugin["data"][0]["id"]
    platform.api.post(f"/entrypoints/{entrypoint.id}/plugins", {"plugins": [plugin_id]})
    job = platform.run(entrypoint, ends="failed")
    text = platform.text(job)
    assert "'fine'" in text
    assert "fines" in text
    assert "the first step ran" not in text
    assert daemon.process.poll() is None


def test_nothing_left(platform: Platform, daemon: WorkerProcess) -> None:
    """After its jobs a worker has no job folder left."""
    job = platform.run(platform.entrypoint(STYLES, {"one": {"number": [1]}}))
    daemon.wait_for(f"job {job} finished")
    assert list(daemon.work_dir.glob("job-*")) == []


def test_json_log(
    platform: Platform, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With DIOPTRA_RQ_WORKER_LOG_AS_JSON every line of the daemon's log is JSON."""
    platform = Platform(platform.api)
    folder = tmp_path_factory.mktemp("json")
    job = platform.submit(platform.entrypoint(STYLES, {"one": {"number": [1]}}))
    with worker(
        stack.environment(),
        folder,
        "--max-jobs",
        "1",
        platform.queue,
        settings={
            "DIOPTRA_RQ_WORKER_LOG_AS_JSON": "1",
            "DIOPTRA_RQ_WORKER_LOG_LEVEL": "INFO",
        },
    ) as running:
        assert platform.wait(job) == "finished"
        assert running.wait() == 0
    events = [json.loads(line) for line in running.log.splitlines()]
    assert any(event.get("job_id") == job for event in events)


IMPORTS_A_MODULE = """
import beside_the_worker


@pyplugs.register
def say():
    print(beside_the_worker.WORD)
"""


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_command_line_of_rq(
    platform: Platform,
    stack: LocalStack,
    tmp_path_factory: pytest.TempPathFactory,
    isolation: str,
) -> None:
    """A command line of ``rq worker`` works: modules of --path, a pid, and the rest."""
    platform = Platform(platform.api)
    folder = tmp_path_factory.mktemp("rq")
    modules = folder / "modules"
    modules.mkdir()
    (modules / "beside_the_worker.py").write_text("WORD = 'found beside the worker'\n")
    (modules / "rq_site_of_a_job.py").write_text(f"QUEUES = [{platform.queue!r}]\n")
    pid = folder / "worker.pid"
    job = platform.submit(platform.entrypoint(IMPORTS_A_MODULE, {"one": {"say": []}}))
    rq = [
        "-v",
        "-s",
        "-ds",
        "round_robin",
        "--worker-ttl",
        "60",
        "--max-jobs",
        "1",
        "-c",
        "rq_site_of_a_job",
    ]
    rq += ["-P", str(modules), "--pid", str(pid), "--isolation", isolation]
    with worker(stack.environment(), folder, *rq) as running:
        assert platform.wait(job) == "finished"
        assert running.wait() == 0
    assert "found beside the worker" in platform.text(job)
    assert pid.read_text() == str(running.process.pid)
    assert "--with-scheduler changes nothing: Dioptra schedules nothing" in running.log
