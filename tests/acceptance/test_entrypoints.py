"""The ready-made entrypoints: imported by the command, run by the real worker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.acceptance.bench import EXAMPLES, GROUP, PROGRAM, Bench, opened
from tests.plugins.cut_off import cut_off
from tests.plugins.until import until

from dioptra_worker import engine
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.provenance.manifest import RECEIPT_TAG
from dioptra_worker.tools.jobs.control.submission import submit_checked
from dioptra_worker.tools.resources import (
    JobResult,
    StillRunning,
    Submission,
    Unknown,
    submit,
    wait,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.clients import ApiClient, MlflowReader

    from dioptra_worker.tools.local import LocalStack


@pytest.fixture(scope="module", name="bench")
def _bench(
    stack: LocalStack, api: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    with opened(stack, api, tmp_path_factory.mktemp("worker"), EXAMPLES) as bench:
        yield bench


def _text(result: JobResult) -> str:
    return "\n".join(record.message for record in result.log)


def _in_order(text: str, *parts: str) -> None:
    """Each part is in the text, behind the one before."""
    place = 0
    for part in parts:
        found = text.find(part, place)
        assert found >= 0, f"{part!r} is not (or too early) in:\n{text}"
        place = found + len(part)


# -- import ----------------------------------------------------------------------


def test_import_tells(bench: Bench) -> None:
    """The command says what it has imported, with ids that the API knows by name."""
    answer = bench.bring_in("--json", EXAMPLES / "artifact-chain")
    (imported,) = json.loads(answer.stdout)
    assert imported["entrypoints"].keys() == {"chain-produce", "chain-consume"}
    assert imported["plugins"].keys() == {"weather", "weather_artifacts"}
    for name, number in imported["entrypoints"].items():
        assert bench.client.get(f"/entrypoints/{number}")["name"] == name
    told = bench.bring_in(EXAMPLES / "artifact-chain").stdout
    assert f"chain-produce (id {imported['entrypoints']['chain-produce']})" in told


@pytest.mark.parametrize(
    ("folder", "graph", "name"),
    [
        ("hello-world", "entrypoint.yml", "hello-world"),
        ("artifact-chain", "produce.yml", "chain-produce"),
        ("artifact-chain", "consume.yml", "chain-consume"),
        ("sklearn-evaluation", "entrypoint.yml", "sklearn-evaluation"),
        ("batch-evaluation", "entrypoint.yml", "batch-evaluation"),
        ("pytorch-attack", "entrypoint.yml", "pytorch-attack"),
        ("tensorflow-attack", "entrypoint.yml", "tensorflow-attack"),
        ("failing-job", "entrypoint.yml", "failing-job"),
    ],
)
def test_platform_agrees(bench: Bench, folder: str, graph: str, name: str) -> None:
    """What the platform makes of an example is what its task graph file says."""
    found = bench.client.get("/entrypoints/", search=f'name:"{name}"')["data"][0]
    made = bench.client.get(
        f"/entrypoints/{found['id']}/snapshots/{found['snapshot']}/config"
    )
    ours = engine.load(EXAMPLES / folder / graph).data
    types = ours.pop("types", {})
    # The platform adds every other type that is registered.
    assert types.items() <= made.pop("types").items()
    assert {name: section for name, section in made.items() if section} == ours


def test_import_again(bench: Bench, tmp_path: Path) -> None:
    """An import changes what is there, keeps its id, and the next job runs it."""
    folder = tmp_path / "hello"
    shutil.copytree(EXAMPLES / "hello-world", folder)
    toml = folder / "dioptra.toml"
    # Under names of its own, since other tests run the example as it is.
    (folder / "plugins/hello").rename(folder / "plugins/hello_again")
    text = toml.read_text().replace('name = "hello-world"', 'name = "hello-again"')
    toml.write_text(
        text.replace('plugins/hello"', 'plugins/hello_again"').replace(
            'plugins = ["hello"]', 'plugins = ["hello_again"]'
        )
    )
    graph = folder / "entrypoint.yml"
    graph.write_text(graph.read_text().replace("hello.tasks", "hello_again.tasks"))
    (before,) = json.loads(bench.bring_in("--json", folder).stdout)
    assert "Hello, World!" in _text(bench.run("hello-again"))
    tasks = folder / "plugins/hello_again/tasks.py"
    tasks.write_text(tasks.read_text().replace("Hello, {name}!", "Goodbye, {name}!"))
    (after,) = json.loads(bench.bring_in("--json", folder).stdout)
    kinds = ("entrypoints", "plugins", "types")
    assert [after[kind] for kind in kinds] == [before[kind] for kind in kinds]
    assert before["were_there"]["entrypoints"] == []
    assert after["were_there"]["entrypoints"] == ["hello-again"]
    assert "hello_again" in after["were_there"]["plugins"]
    assert "Goodbye, World!" in _text(bench.run("hello-again"))


def test_import_refused(bench: Bench, tmp_path: Path) -> None:
    """A refusal ends the command with code 1 and a reason: ours, or the API's own."""
    folder = tmp_path / "hello"
    shutil.copytree(EXAMPLES / "hello-world", folder)
    answer = bench.bring_in("--on-conflict", "fail", folder)
    assert answer.returncode == 1
    assert f"refused to import {folder}" in answer.stderr
    assert "Traceback" not in answer.stderr
    toml = folder / "dioptra.toml"
    toml.write_text(toml.read_text().replace('plugins = ["hello"]', 'plugins = ["x"]'))
    answer = bench.bring_in(folder)
    assert answer.returncode == 1
    assert "dioptra.toml:39:12: error: 'plugins' of entrypoint" in answer.stderr


def test_import_with_wrong_password(bench: Bench) -> None:
    """A refused login has an exit code of its own."""
    environment = bench.environment | {"DIOPTRA_WORKER_PASSWORD": "wrong"}
    answer = replace(bench, environment=environment).bring_in(EXAMPLES)
    assert answer.returncode == 3
    assert "DIOPTRA_WORKER_PASSWORD" in answer.stderr


# -- jobs ------------------------------------------------------------------------


def test_hello(bench: Bench, mlflow_reader: MlflowReader) -> None:
    """A greeting is logged, printed and stored, to a given name, by default thrice."""
    result = bench.run("hello-world", values={"name": "<Ada> & Co"})
    assert result.job.status == "finished"
    assert [change.status for change in result.timeline] == [
        "queued",
        "started",
        "finished",
    ]
    _in_order(
        _text(result),
        "step 1 of 2: 'greeting' runs task 'greet'",
        "made a greeting name='<Ada> & Co'",
        "step 2 of 2: 'letter' runs task 'repeat'",
        "1. Hello, <Ada> & Co!",
        "3. Hello, <Ada> & Co!",
        "the job finished",
    )
    (letter,) = result.artifacts
    assert letter.file_name == "letter.md"
    assert bench.contents(letter).decode() == "Hello, <Ada> & Co!\n" * 3
    assert result.run_id is not None
    assert mlflow_reader.status(result.run_id) == "FINISHED"
    assert mlflow_reader.parameters(result.run_id) == {
        "name": "<Ada> & Co",
        "times": "3",
    }
    assert mlflow_reader.tags(result.run_id)["dioptra.jobId"] == str(result.job.id)


def test_chain(bench: Bench) -> None:
    """One job reads the file and the folder that another one has stored."""
    first = bench.run("chain-produce", values={"days": 2})
    assert first.job.status == "finished"
    readings, by_day = first.artifact("readings"), first.artifact("by-day")
    assert not readings.is_dir
    assert by_day.is_dir
    rows = json.loads(bench.contents(readings))
    assert len(rows) == 8
    second = bench.run(
        "chain-consume", artifacts={"readings": readings, "by_day": by_day}
    )
    assert second.job.status == "finished", _text(second)
    _in_order(_text(second), "read input artifact", "day 1: ", "day 2: ")
    degrees = [row["celsius"] for row in rows if row["day"] == 1]
    summary = json.loads(bench.contents(second.artifact("summary")))
    assert summary[0] == {"day": 1, "coldest": min(degrees), "warmest": max(degrees)}


def test_chain_of_strangers(bench: Bench) -> None:
    """Artifacts of two different jobs are refused by the plugin, in its own words."""
    first = bench.run("chain-produce", values={"days": 1})
    other = bench.run("chain-produce", values={"days": 2})
    result = bench.run(
        "chain-consume",
        artifacts={
            "readings": first.artifact("readings"),
            "by_day": other.artifact("by-day"),
        },
    )
    assert result.job.status == "failed"
    assert "the file has 4 readings and the folder 8" in _text(result)
    assert result.artifacts == ()


def test_evaluation(bench: Bench, mlflow_reader: MlflowReader) -> None:
    """An evaluation leaves metrics, here and in MLflow, a table, a plot and a model."""
    result = bench.run(
        "sklearn-evaluation", values={"strength": 0.15, "attack": "projected-gradient"}
    )
    assert result.job.status == "finished", _text(result)
    metrics = {point.name: point.value for point in result.metrics}
    assert 0.95 < metrics["accuracy_clean"] <= 1.0
    assert metrics["accuracy_attacked"] < metrics["accuracy_clean"] - 0.2
    curve = [p.value for p in result.metrics if p.name == "accuracy_by_strength"]
    assert curve[0] == metrics["accuracy_clean"]
    assert curve == sorted(curve, reverse=True)
    assert result.run_id is not None
    logged = mlflow_reader.metrics(result.run_id)
    assert logged["accuracy_attacked"] == pytest.approx(metrics["accuracy_attacked"])
    table = bench.contents(result.artifact("accuracy-by-strength")).decode()
    head, *rows = table.splitlines()
    assert head == "strength,accuracy"
    assert [float(row.split(",")[0]) for row in rows] == [0.0, 0.05, 0.15, 0.2, 0.3]
    assert [float(row.split(",")[1]) for row in rows] == pytest.approx(curve, abs=1e-3)
    picture = bench.contents(result.artifact("accuracy-plot"))
    assert picture.startswith(b"\x89PNG")
    assert result.artifact("model").task == "JoblibFile"
    assert bench.contents(result.artifact("model"))


@pytest.mark.slow
def test_evaluation_is_repeatable(bench: Bench) -> None:
    """The same seed gives the same numbers, another one gives others."""
    first, again, other = (
        bench.run("sklearn-evaluation", values={"seed": seed}) for seed in (3, 3, 4)
    )
    assert first.metrics
    assert first.metrics == again.metrics
    assert first.metrics != other.metrics


@pytest.mark.slow
def test_evaluation_comes_out_again_without_any_service(
    bench: Bench, mlflow_reader: MlflowReader, tmp_path: Path
) -> None:
    """Its capsule is replayed in an empty folder, without network: equal metrics."""
    result = bench.run("sklearn-evaluation", values={"seed": 5})
    file = tmp_path / "evaluation.crate.zip"
    run = str(result.run_id)
    until(lambda: RECEIPT_TAG in mlflow_reader.tags(run))
    making = ["jobs", "capsule", str(result.job.id), "-o", str(file)]
    subprocess.run([PROGRAM, *making], env=bench.environment, check=True, timeout=100)
    folder = tmp_path / "empty"
    folder.mkdir()
    done = subprocess.run(
        [*cut_off(), PROGRAM, "capsule", "replay", "--here", "--json", file],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found["status"] == "finished", found["reason"]
    for point in result.metrics:
        assert found["metrics"][point.name][str(point.step)] == point.value
    differing = [it["name"] for it in found["differences"] if it["kind"] != "artifact"]
    assert differing == []


@pytest.mark.slow
def test_batch(bench: Bench) -> None:
    """A batch is evaluated once: the second job finds nothing left to do."""
    first, again = (bench.run("batch-evaluation") for _ in range(2))
    assert "Ran on 200 elements: 200 completed, 0 failed" in _text(first)
    assert "Ran on 200 elements: 0 completed, 200 skipped, 0 failed" in _text(again)
    signed = re.findall(r"Worker run ([0-9a-f-]{36})", _text(first))
    assert len(signed) == 1
    assert f"Worker run {signed[0]}" in _text(again)


def test_unknown_attack(bench: Bench) -> None:
    """A wrong value of a parameter fails the job with the plugin's own sentence."""
    result = bench.run("sklearn-evaluation", values={"attack": "tickle"})
    assert result.job.status == "failed"
    assert "no attack 'tickle': choose one of fast-gradient" in _text(result)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exception", "ZeroDivisionError: division by zero"),
        ("exit", "sys.exit"),
        ("killed", "SIGKILL"),
    ],
)
def test_failures(
    bench: Bench, mlflow_reader: MlflowReader, how: str, words: str
) -> None:
    """However the job dies, its status says failed and its log where and of what."""
    result = bench.run("failing-job", values={"how": how})
    assert result.job.status == "failed"
    _in_order(_text(result), "'averaged' runs", f"about to fail: {how}", words)
    assert result.run_id is not None
    assert mlflow_reader.status(result.run_id) == "FAILED"


# -- submitting ------------------------------------------------------------------


def test_submit_with_a_wrong_name(bench: Bench) -> None:
    """A name that the API does not know is answered with the names that are near it."""
    with pytest.raises(Unknown, match=r"no entrypoint 'hello-wurld'.*'hello-world'"):
        bench.run("hello-wurld")
    other = replace(bench, queue=f"{bench.queue}x")
    with pytest.raises(Unknown, match=f"no queue '{bench.queue}x'.*'{bench.queue}'"):
        other.run("hello-world")


def test_submit_that_does_not_fit(bench: Bench) -> None:
    """Values and artifacts of another type are told before there is a job."""
    letter = bench.run("hello-world").artifact("letter")
    hello = Submission(entrypoint="hello-world", queue=bench.queue, experiment="x")
    consume = replace(hello, entrypoint="chain-consume")
    for wanted, words in (
        (replace(hello, values={"times": "two"}), "'times': 'two' is no integer"),
        (consume, "'readings' is not given: --artifact readings=ID"),
        (
            replace(consume, artifacts={"readings": letter, "by_day": letter}),
            f"type 'table', and artifact {letter.id} holds a value of type 'string'",
        ),
    ):
        with pytest.raises(Unknown, match=words):
            submit_checked(UserClient(bench.api), wanted)


def test_waiting_has_an_end(bench: Bench) -> None:
    """Who waits for a job that nobody takes is told so when the time is up."""
    queue = f"{bench.queue}-idle"
    bench.client.post("/queues/", {"name": queue, "description": "", "group": GROUP})
    wanted = Submission(entrypoint="hello-world", queue=queue, experiment="examples")
    job = submit(UserClient(bench.api), wanted)
    seen: list[str] = []
    with pytest.raises(StillRunning, match=f"job {job} is still queued") as caught:
        wait(bench.api, job, seconds=0.5, on_status=seen.append)
    assert caught.value.status == "queued"
    assert set(seen) == {"queued"}
