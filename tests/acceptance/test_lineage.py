"""Worker runs and configurations on the command line, on the real platform."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.people import Person
from tests.plugins.worker_process import WorkerProcess, worker
from tests.unit.tools.workbench.folders import sums

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis
    from tests.plugins.clients import ApiClient, MlflowReader
    from tests.plugins.testbed import Entrypoint, Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOURCE = """
from dioptra_worker.batch import ElementsWorker


class Nothing(ElementsWorker):
    def process_element(self, element):
        pass


@pyplugs.register
def text(name, elements):
    Nothing().run(elements=elements)
    return name


@pyplugs.register
def read(text):
    print("read:", text)


@pyplugs.register
def linger(path):
    print("lingering now")
    while not Path(path).exists():
        time.sleep(0.05)
"""
PARAMETERS = {"name": "World", "rate": 0.1, "elements": ["a", "b"]}
NOTE = {"note": {"contents": "$text", "task": {"name": "Text"}}}


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack: LocalStack, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    with worker(stack.environment(), folder, platform.queue) as running:
        yield running


@pytest.fixture(name="other")
def _other(stack: LocalStack, api: ApiClient, tmp_path: Path) -> Person:
    """Another user of the platform, who administers no group."""
    name = f"u{uuid.uuid4().hex[:8]}"
    password = uuid.uuid4().hex
    account = {
        "username": name,
        "email": f"{name}@example.org",
        "password": password,
        "confirmPassword": password,
    }
    api.post("/users/", account)
    environment = {
        **stack.environment(),
        "DIOPTRA_USERNAME": name,
        "DIOPTRA_PASSWORD": password,
    }
    return Person(environment, tmp_path)


@pytest.fixture(name="greeter")
def _greeter(platform: Platform) -> Entrypoint:
    return platform.entrypoint(
        SOURCE,
        {"text": {"text": ["$name", "$elements"]}},
        parameters=PARAMETERS,
        artifact_outputs=NOTE,
        own=True,  # of each version of one a person has one worker run
    )


def _finished(platform: Platform, entrypoint: Entrypoint, **values: str) -> int:
    return platform.run(entrypoint, values=values)


def _worker_run(mlflow: MlflowReader, platform: Platform, job: int) -> str:
    return mlflow.tags(platform.run_id(job))["dioptra.workerRunId"]


@pytest.mark.usefixtures("daemon")
def test_seen_and_deleted(
    platform: Platform, greeter: Entrypoint, mlflow_reader: MlflowReader, person: Person
) -> None:
    """A worker run is listed, shown, and all its results are deleted, once."""
    first = _finished(platform, greeter)
    second = _finished(platform, greeter, elements='["c"]')
    other = _finished(platform, greeter, name="Moon")
    id_ = _worker_run(mlflow_reader, platform, first)

    listed = person.json("worker-runs", "list", "--entrypoint", greeter.id, "--json")
    jobs = {run["id"]: [job["id"] for job in run["jobs"]] for run in listed}
    assert jobs[id_] == [second, first]
    assert [other] in jobs.values()
    assert id_ in person.told("worker-runs", "list")

    for job, wanted in ((first, id_), (second, id_)):
        told = person.json("jobs", "show", job, "--json")["worker_run"]
        assert told["id"] == wanted
        assert told["configuration"] == {"name": "World", "rate": 0.1}
        assert (
            told["configuration_id"]
            == mlflow_reader.tags(platform.run_id(job))["dioptra.configurationId"]
        )
        assert f"worker run  {id_}" in person.told("jobs", "show", job)
    some = person.json("jobs", "list", "--worker-run", id_[:12], "--json")
    assert [job["id"] for job in some] == [second, first]

    shown = person.told("worker-runs", "show", id_[:12])
    assert 'name = "World"' in shown
    assert "rate = 0.1" in shown
    assert "elements" not in shown
    assert f"{greeter.name} ({greeter.id})" in shown
    counts = person.json("activities", "stats", id_, "--json")
    assert counts["processed"] == 3

    results = person.json("worker-runs", "results", id_, "--json")
    assert {result["job_id"] for result in results} == {first, second}
    words = person.told("worker-runs", "delete", "--yes", id_)
    assert words == "2 artifacts deleted, 3 elements of its batch forgotten\n"
    assert "0 artifacts deleted" in person.told("worker-runs", "delete", "--yes", id_)
    results = person.json("worker-runs", "results", id_, "--json")
    assert [result["deleted"] for result in results] == [True, True]
    kept = platform.artifacts(other)["note"]
    assert platform.content(kept) == b"Moon"

    reader = platform.entrypoint(
        SOURCE, {"reading": {"read": ["$note"]}}, artifact_inputs={"note": ["text"]}
    )
    gone = results[0]
    inputs = {"note": {"id": gone["id"], "snapshotId": gone["snapshot_id"]}}
    job = platform.run(reader, artifacts=inputs, ends="failed")
    words = f"artifact {gone['id']}, input 'note', was deleted (worker run {id_})"
    assert words in platform.text(job)


@pytest.mark.usefixtures("daemon")
def test_what_is_being_made_is_not_deleted(
    platform: Platform, mlflow_reader: MlflowReader, person: Person, tmp_path: Path
) -> None:
    """While a job of a worker run is running its results cannot be deleted."""
    go = tmp_path / "go"
    entrypoint = platform.entrypoint(SOURCE, {"one": {"linger": [str(go)]}})
    job = platform.submit(entrypoint)
    platform.wait_for_line(job, "lingering now")
    id_ = _worker_run(mlflow_reader, platform, job)
    refused = person.call("worker-runs", "delete", "--yes", id_)
    assert refused.returncode == 1
    assert f"job {job} of worker run {id_} is started: wait" in refused.stderr
    go.touch()
    assert platform.wait(job) == "finished"


@pytest.mark.usefixtures("daemon")
def test_a_model_is_deleted_with_force_only(
    platform: Platform, greeter: Entrypoint, mlflow_reader: MlflowReader, person: Person
) -> None:
    """What a version of a model consists of is not deleted by the way."""
    job = _finished(platform, greeter)
    artifact = platform.artifacts(job)["note"]
    name = f"m{uuid.uuid4().hex[:8]}"
    model = platform.api.post(
        "/models/", {"group": 1, "name": name, "description": ""}
    )["id"]
    version = {"description": "", "artifact": artifact["id"]}
    platform.api.post(f"/models/{model}/versions", version)
    id_ = _worker_run(mlflow_reader, platform, job)
    refused = person.call("worker-runs", "delete", "--yes", id_)
    assert refused.returncode == 1
    assert f"version 1 of model '{name}'" in refused.stderr
    assert platform.content(artifact) == b"World"
    forced = person.told("worker-runs", "delete", "--yes", "--force", id_)
    assert forced.startswith("1 artifacts deleted")


def test_names_of_worker_runs(person: Person) -> None:
    """What is no worker run is one sentence."""
    for name, words in (
        ("nonsense", "'nonsense' is no worker run: give its id"),
        ("12", "'12' is no worker run: give its id, or at least the first 6"),
        ("00000000-aaaa", "no worker run has the id '00000000-aaaa'"),
    ):
        answer = person.call("worker-runs", "show", name)
        assert answer.returncode == 1
        assert words in answer.stderr
        assert "Traceback" not in answer.stderr
    answer = person.call("worker-runs", "list", MLFLOW_TRACKING_URI="")
    assert answer.returncode == 2
    assert "MLFLOW_TRACKING_URI is missing" in answer.stderr


@pytest.mark.usefixtures("daemon")
def test_configurations(
    platform: Platform, greeter: Entrypoint, mlflow_reader: MlflowReader, person: Person
) -> None:
    """Configurations are canonical and unique; archived ones are not used again."""
    of = ("--entrypoint", greeter.name)
    default = person.told("configurations", "create", "--from-default", *of)
    assert default == "name: World\nrate: 0.1\n"
    made = person.told("configurations", "create", "fast", *of, "-P", "rate=2e-1")
    assert made == "configuration 'fast': rate=0.2\n"
    for name, values, words in (
        ("same", ["rate=0.20"], "configuration 'fast' has the same values"),
        ("fast", ["rate=0.3"], "there is a configuration 'fast' already"),
        ("none", ["rate=1e-1", "name=World"], "these values are the defaults"),
        ("odd", ["rate=quick"], "parameter 'rate' must be a number, not 'quick'"),
        ("odd", ["size=1"], "there is no parameter 'size': the entrypoint has"),
        ("odd", ['elements=["x"]'], "says what to work on"),
    ):
        given = [word for value in values for word in ("-P", value)]
        answer = person.call("configurations", "create", name, *of, *given)
        assert answer.returncode == 1, answer.stdout
        assert words in answer.stderr
        assert "Traceback" not in answer.stderr
    assert "fast\tactive" in person.told("configurations", "list", *of)
    assert person.told("configurations", "show", "fast", *of).endswith("rate: 0.2\n")

    submit = (
        *("jobs", "submit", greeter.name, "--queue", platform.queue),
        *("--experiment", _experiment(platform)),
    )
    job = person.json(*submit, "--configuration", "fast", "--json")["id"]
    assert platform.wait(job) == "finished", platform.text(job)
    assert platform.api.get(f"/jobs/{job}/parameters")["rate"] == 0.2
    tags = mlflow_reader.tags(platform.run_id(job))
    (found,) = person.json("configurations", "list", *of, "--json")
    assert tags["dioptra.configurationId"] == found["id"]

    refused = person.call("configurations", "delete", "fast", *of)
    assert refused.returncode == 1
    assert "1 runs were made with configuration 'fast'" in refused.stderr
    person.told("configurations", "archive", "fast", *of)
    for values in (["--configuration", "fast"], ["-P", "rate=2.0e-1"]):
        refused = person.call(*submit, *values)
        assert refused.returncode == 1
        assert "configuration 'fast' is archived" in refused.stderr
    again = person.call("configurations", "create", "new", *of, "-P", "rate=0.2")
    assert "has the same values, which is archived" in again.stderr
    person.told("configurations", "unarchive", "fast", *of)
    job = person.json(*submit, "-P", "rate=0.2", "--json")["id"]
    assert platform.wait(job) == "finished"

    id_ = tags["dioptra.workerRunId"]
    person.told("worker-runs", "delete", "--yes", id_)
    person.told("configurations", "delete", "fast", *of)
    assert person.json("configurations", "list", *of, "--json") == []


def test_an_administrator_unarchives(
    greeter: Entrypoint, person: Person, other: Person
) -> None:
    """A user who does not administer the group cannot have it used again."""
    of = ("--entrypoint", str(greeter.id))
    person.told("configurations", "create", "slow", *of, "-P", "rate=0.9")
    person.told("configurations", "archive", "slow", *of)
    refused = other.call("configurations", "unarchive", "slow", *of)
    assert refused.returncode == 1, refused.stdout
    assert "only an administrator may do that" in refused.stderr


def test_configurations_follow_the_rights_of_the_api(
    greeter: Entrypoint, person: Person, other: Person, api: ApiClient
) -> None:
    """Who may not write in the entrypoint's group neither creates nor deletes one."""
    of = ("--entrypoint", str(greeter.id))
    person.told("configurations", "create", "quick", *of, "-P", "rate=0.7")
    may_write = {
        member["user"]["username"]: member["permissions"]["write"]
        for member in api.get("/groups/1")["members"]
    }
    allowed = may_write.get(other.environment["DIOPTRA_USERNAME"], False)
    for words in (
        ("create", "mine", *of, "-P", "rate=0.8"),
        ("archive", "quick", *of),
        ("delete", "quick", *of),
    ):
        answer = other.call("configurations", *words)
        assert (answer.returncode == 0) is allowed, answer.stderr
        assert allowed or "whoever may write in it may do that" in answer.stderr


def test_personal(
    platform: Platform,
    greeter: Entrypoint,
    person: Person,
    other: Person,
    redis_client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A personal worker run signs what its owner publishes, and nobody else's."""
    monkeypatch.setitem(person.environment, "DIOPTRA_WORKER_DATA_PARAMETERS", "rate")
    report = tmp_path / "report.txt"
    report.write_text("good")
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("1,2")
    create = (
        *("worker-runs", "create", "--entrypoint", greeter.name, "--json"),
        *("--experiment", _experiment(platform)),
    )
    made = person.json(*create)
    told = person.json("jobs", "show", made["job"], "--json")
    assert told["worker_run"]["id"] == made["id"]
    assert told["worker_run"]["personal"]
    assert told["type"] == "internal"
    again = person.call(*create)
    assert again.returncode == 1
    assert f"has your worker run {made['id']} already" in again.stderr
    assert platform.status(made["job"]) == "finished"
    queue = platform.job(made["job"])["queue"]["name"]
    waiting = redis_client.lrange(f"rq:queue:{queue}", 0, -1)
    assert str(made["job"]).encode() not in waiting

    publish = ("results", "publish", "--run", made["id"])
    published: dict[str, Any] = person.json(
        *publish, report, folder, "--metric", "accuracy=0.5", "--json"
    )
    for path, content in ((report, b"good"), (folder, None)):
        artifact = platform.api.get(f"/artifacts/{published['artifacts'][str(path)]}")
        assert made["id"] in artifact["description"]
        if content is not None:
            assert platform.content(artifact) == content
        else:
            assert list(platform.folder(artifact).values()) == [b"1,2"]
    repeated = person.json(*publish, report, "--json")
    assert repeated["artifacts"][str(report)] == published["artifacts"][str(report)]
    (metric,) = platform.api.get(f"/jobs/{made['job']}/metrics")
    assert metric["value"] == 0.5

    script = (
        "import os, sys\n"
        "from dioptra_worker.tools.lineage import PersonalRun\n"
        "with PersonalRun.open(os.environ) as run:\n"
        "    print(run.publish(sys.argv[1]))\n"
        "    run.metric('accuracy', 0.75)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(report)],
        env=person.environment | {"DIOPTRA_WORKER_RUN_ID": made["id"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == published["artifacts"][str(report)]
    (metric,) = platform.api.get(f"/jobs/{made['job']}/metrics")
    assert metric["value"] == 0.75

    foreign = other.call(*publish, report)
    assert foreign.returncode == 1
    assert "is personal and belongs to" in foreign.stderr
    assert json.dumps(made["id"])[1:-1] in person.told("worker-runs", "list")
    nothing = person.call(*publish)
    assert nothing.returncode == 2
    assert "give a PATH or a --metric to publish" in nothing.stderr


BATCH = """
import sys
from pathlib import Path

from dioptra_worker.batch import ElementsWorker


class Notes(ElementsWorker):
    def process_element(self, element):
        if element.id == "bad":
            raise ValueError("no good")
        print("done", element.id, self.config["name"], flush=True)


worker = Notes()
worker.run()
report = Path("report.txt")
report.write_text("good")
print("artifact", worker.publish(report))
"""


def test_a_batch_on_a_laptop(
    platform: Platform,
    greeter: Entrypoint,
    person: Person,
    other: Person,
    tmp_path: Path,
) -> None:
    """With a personal worker run, a script claims, records and publishes as it."""
    made = person.json(
        *("worker-runs", "create", "--entrypoint", greeter.name, "--json"),
        *("--experiment", _experiment(platform), "-P", "name=Ada"),
    )
    (tmp_path / "notes.py").write_text(BATCH)

    def script(who: Person, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "notes.py", *arguments],
            cwd=tmp_path,
            env=who.environment | {"DIOPTRA_WORKER_RUN_ID": made["id"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    first = script(person, "--element", "a", "bad", "b")
    assert first.returncode == 0, first.stderr
    assert "done a Ada" in first.stdout
    assert f"Signing as worker run {made['id']}" in first.stderr
    assert "Ran on 3 elements: 2 completed, 1 failed" in first.stderr
    id_ = int(first.stdout.rpartition("artifact ")[2])
    assert made["id"] in platform.api.get(f"/artifacts/{id_}")["description"]
    listed = person.json("activities", "list", made["id"], "--json")
    states = {one["element"]: one["state"] for one in listed}
    assert states == {"a": "processed", "b": "processed", "bad": "error"}
    assert "by hand" in person.told("activities", "list", made["id"])
    metrics = platform.api.get(f"/jobs/{made['job']}/metrics")
    assert {m["name"]: m["value"] for m in metrics}["elements_processed"] == 2

    again = script(person, "--element", "a", "c")
    assert "1 completed, 1 skipped" in again.stderr
    tried = script(person, "--dev", "--element", "a", "-c", "/dev/null")
    assert tried.returncode == 1  # a configuration without a name fails the element
    assert "artifact None" not in tried.stdout
    both = script(person, "--element", "a", "-c", "/dev/null")
    assert both.returncode == 2
    assert "give --config or DIOPTRA_WORKER_RUN_ID, not both" in both.stderr
    foreign = script(other, "--element", "d")
    assert foreign.returncode == 1
    assert "is personal and belongs to" in foreign.stderr
    assert "Traceback" not in foreign.stderr


def test_a_run_without_a_queue_that_is_published(
    platform: Platform,
    greeter: Entrypoint,
    person: Person,
    other: Person,
    tmp_path: Path,
) -> None:
    """What ``run --publish-as`` makes is signed by the owner's worker run only."""
    made = person.json(
        *("worker-runs", "create", "--entrypoint", greeter.name, "--json"),
        *("--experiment", _experiment(platform)),
    )
    file = sums(tmp_path)
    run = ("run", file, "--store", tmp_path / "runs", "--publish-as", made["id"])
    found = person.json(*run, "--json")
    (id_,) = found["published"].values()
    artifact = platform.api.get(f"/artifacts/{id_}")
    assert made["id"] in artifact["description"]
    assert platform.content(artifact) == b"12"
    assert f"published total as artifact {id_}" in person.told(*run)
    foreign = other.call(*run)
    assert foreign.returncode == 1
    assert "is personal and belongs to" in foreign.stderr
    failing = tmp_path / "plugins/sums/tasks.py"
    failing.write_text(failing.read_text().replace("return a + b", "raise OSError"))
    failed = person.call(*run)
    assert failed.returncode == 1
    assert "nothing is published: the run failed" in failed.stderr


@pytest.mark.usefixtures("daemon")
def test_only_personal_ones_publish(
    platform: Platform, greeter: Entrypoint, mlflow_reader: MlflowReader, person: Person
) -> None:
    """Nobody signs by hand with the worker run of a queue's jobs."""
    job = _finished(platform, greeter)
    id_ = _worker_run(mlflow_reader, platform, job)
    refused = person.call("results", "publish", "--run", id_, "--metric", "a=1")
    assert refused.returncode == 1
    assert "is that of jobs on a queue" in refused.stderr


def _experiment(platform: Platform) -> str:
    return platform.experiment_name
