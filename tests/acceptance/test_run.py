"""``dioptra-worker run``: the real command, without any server."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.acceptance.live import Live
from tests.plugins.worker_process import wait_until_gone
from tests.unit.tools.workbench.folders import EXAMPLES, sums, write

from dioptra_worker.provenance.chain import chained, digest, log_record
from dioptra_worker.provenance.manifest import read_manifest
from dioptra_worker.tools.workbench.running.results import as_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = str(Path(sys.executable).with_name("dioptra-worker"))
PATIENCE = 90.0
SLEEPER = """
import os, time
from dioptra import pyplugs

@pyplugs.register
def add(a, b):
    print("runner", os.getpid(), flush=True)
    time.sleep(300)
"""


def _environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}


def _run(
    tmp_path: Path, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "run", *map(str, arguments)],
        cwd=tmp_path,
        env=_environment(tmp_path) | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _json(tmp_path: Path, *arguments: str | Path, code: int = 0, **more: str) -> Any:
    answer = _run(tmp_path, "--json", *arguments, **more)
    assert answer.returncode == code, answer.stdout + answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_what_a_person_sees(tmp_path: Path, isolation: str) -> None:
    """Steps, what tasks log and print, and where the artifact is, in this order."""
    answer = _run(
        tmp_path,
        "--isolation",
        isolation,
        EXAMPLES / "hello-world",
        *("-P", "name=Ada", "-P", "times=2"),
    )
    assert answer.returncode == 0, answer.stderr
    said = answer.stdout
    places = [
        said.index(words)
        for words in (
            "hello-world: name='Ada', times=2",
            "[1/2] greeting: greet",
            "made a greeting name='Ada'",
            "[2/2] letter: repeat",
            "1. Hello, Ada!",
            "2. Hello, Ada!",
            "artifacts  letter  mlruns/0/",
            "finished after",
        )
    ]
    assert places == sorted(places)
    (letter,) = re.findall(r"letter  (mlruns\S+)", said)
    assert (tmp_path / letter).read_text() == "Hello, Ada!\n" * 2
    assert not answer.stderr


def test_json(tmp_path: Path) -> None:
    """Programs get everything in one object."""
    found = _json(tmp_path, sums(tmp_path), "-P", "start=5")
    assert found["status"] == "finished"
    assert found["parameters"] == {"start": 5}
    assert [step["name"] for step in found["steps"]] == ["first", "second"]
    assert Path(found["artifacts"]["total"].removeprefix("file://")).read_text() == "16"
    assert "adding 5 1" in [line["message"] for line in found["log"]]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exception", "ZeroDivisionError: division by zero"),
        ("exit", "sys.exit"),
        ("killed", "killed by SIGKILL in step 'averaged'"),
    ],
)
def test_failures_are_told_as_the_daemon_tells_them(
    tmp_path: Path, how: str, words: str
) -> None:
    """However the run dies, its end says of what, and MLflow's folder says failed."""
    found = _json(tmp_path, EXAMPLES / "failing-job", "-P", f"how={how}", code=1)
    assert found["status"] == "failed"
    assert words in found["reason"]
    run = tmp_path / "mlruns/0" / found["run"]
    assert "status: 4" in (run / "meta.yaml").read_text()


def test_a_time_limit(tmp_path: Path) -> None:
    """A run that takes too long is ended, and says in which step."""
    file = sums(tmp_path)
    write(tmp_path, {"plugins/sums/tasks.py": SLEEPER})
    file.write_text(file.read_text().partition("artifact_outputs")[0])
    found = _json(tmp_path, file, "--timeout", "1s", code=1)
    assert found["reason"].startswith(
        "timed out after its limit of 1.0 s, in step 'fir"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hello-wrld"], "Did you mean 'hello-world'?"),
        (["hello-world", "-P", "tims=3"], "Did you mean 'times'?"),
        (["hello-world", "-P", "times=x"], "parameter 'times': 'x' is no integer"),
        (["hello-world", "-P", "times"], "write NAME=VALUE"),
        (["hello-world", "-P", "times=1", "-P", "times=2"], "given twice"),
        (["hello-world", "--timeout", "soon"], "is no time"),
        (["hello-world", "--debug", "--watch"], "--debug goes with neither"),
        (["hello-world", "--artifact", "x=y"], "no artifact input 'x'"),
        (["artifact-chain"], "name the file of one, 'produce.yml' or 'consume.yml'"),
    ],
)
def test_mistakes_of_the_command_line(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    """A mistake is one sentence on standard error, and the exit code is 2."""
    name, *options = arguments
    answer = _run(tmp_path, EXAMPLES / name, *options)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "mlruns").exists()


def test_a_wrong_graph(tmp_path: Path) -> None:
    """A mistake in the graph is shown with its line, and nothing is run."""
    file = sums(tmp_path)
    file.write_text(file.read_text().replace("add: [$first", "ad: [$first"))
    answer = _run(tmp_path, "sums.yml")
    assert answer.returncode == 1
    assert re.search(r"^sums\.yml:11:\d+: error: .*Did you mean 'add'", answer.stderr)


def test_a_store_that_cannot_be_had(tmp_path: Path) -> None:
    """A store below a file is one sentence."""
    (tmp_path / "file").write_text("")
    answer = _run(tmp_path, sums(tmp_path), "--store", "file/runs")
    assert answer.returncode == 1
    assert "cannot keep the run" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr


def test_nobody_listens_any_more(tmp_path: Path) -> None:
    """Output into a pipe that was closed is no mistake, and is not told as one."""
    script = f"'{COMMAND}' run '{EXAMPLES / 'hello-world'}' | head -1"
    answer = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert answer.stdout == "hello-world: name='World', times=3\n"
    assert not answer.stderr


def test_artifacts_of_one_run_go_into_the_next(tmp_path: Path) -> None:
    """A file and a folder that a run has kept are read by another, untouched."""
    made = _json(tmp_path, EXAMPLES / "artifact-chain/produce.yml")["artifacts"]
    places = {name: uri.removeprefix("file://") for name, uri in made.items()}
    answer = _run(
        tmp_path,
        EXAMPLES / "artifact-chain/consume.yml",
        *("--artifact", f"readings={places['readings']}"),
        *("--artifact", f"by_day={places['by-day']}"),
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "summarized readings=12 days=3" in answer.stdout


def test_a_run_says_what_it_was_run_on_as_a_job_does(tmp_path: Path) -> None:
    """Its manifest names each input, plugin, output, point and line, with digests."""
    made = _json(tmp_path, EXAMPLES / "artifact-chain/produce.yml")["artifacts"]
    places = {name: as_path(uri) for name, uri in made.items()}
    linked = tmp_path / "linked by another name.json"
    linked.symlink_to(places["readings"])
    found = _json(
        tmp_path,
        EXAMPLES / "artifact-chain/consume.yml",
        *("--artifact", f"readings:TableFile={linked}"),
        *("--artifact", f"by_day={places['by-day']}"),
    )
    kept = tmp_path / "mlruns/0" / found["run"] / "artifacts/dioptra"
    data = (kept / "manifest.json").read_bytes()
    tag = kept.parents[1] / "tags/dioptra.manifest"
    assert tag.read_text() == hashlib.sha256(data).hexdigest()
    manifest = read_manifest(data)
    assert (manifest.job.id, manifest.job.status) == (0, "finished")
    assert (manifest.platform.version, manifest.job.queue) == ("", "")
    readings, by_day = manifest.inputs
    assert (readings.name, readings.file_name) == ("readings", linked.name)
    (only,) = readings.files
    assert only.path == linked.name
    assert only.sha256 == digest(places["readings"].read_bytes())
    assert {it.path: it.sha256 for it in by_day.files} == {
        file.name: digest(file.read_bytes()) for file in places["by-day"].iterdir()
    }
    code = {it.path: it.sha256 for it in manifest.plugins if it.role == "tasks"}
    source = EXAMPLES / "artifact-chain/plugins/weather/compare.py"
    assert code["weather/compare.py"] == digest(source.read_bytes())
    assert manifest.determinism.seed
    assert "click" in manifest.environment.packages
    records = [json.loads(it) for it in (kept / "log.jsonl").read_text().splitlines()]
    (segment,) = manifest.log.segments
    assert manifest.log.lines == len(records) == len(found["log"])
    assert segment.chain == chained(log_record(**it) for it in records)


def test_two_runs_are_compared(tmp_path: Path) -> None:
    """What was given otherwise is named, with what came of it."""
    folders = []
    for name in ("Ada", "Bob"):
        found = _json(tmp_path, EXAMPLES / "hello-world", "-P", f"name={name}")
        folders.append(tmp_path / "mlruns/0" / found["run"])

    def differing(code: int = 1) -> list[tuple[str, str]]:
        answer = subprocess.run(
            [COMMAND, "capsule", "diff", "--json", *map(str, folders)],
            env=_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert answer.returncode == code, answer.stderr
        named = [(it["kind"], it["name"]) for it in json.loads(answer.stdout or "[]")]
        return [it for it in named if it != ("determinism", "seed")]

    letter = ("artifact", "outputs/letter/letter.md")
    assert differing() == [("parameter", "name"), letter]
    (folders[1] / "artifacts/letter/letter.md").write_text("Hello, Eve!")
    assert differing() == []  # nothing is said of what was changed since


def test_a_run_without_room_for_its_manifest_has_its_result(tmp_path: Path) -> None:
    """What cannot be recorded is a warning."""
    write(
        tmp_path,
        {
            "dioptra.yml": """
            tasks:
              spoil: {plugin: spoiler.tasks.spoil, outputs: {x: any}}
            graph:
              spoilt: {task: spoil}
            """,
            "plugins/spoiler/tasks.py": """
            import pathlib
            import mlflow
            from dioptra import pyplugs

            @pyplugs.register
            def spoil():
                pathlib.Path(mlflow.get_artifact_uri()[7:], "dioptra").touch()
            """,
        },
    )
    found = _json(tmp_path, "dioptra.yml")
    assert found["status"] == "finished"
    assert "manifest is not kept" in found["log"][-1]["message"]


def test_metrics_and_a_client_without_a_server(tmp_path: Path) -> None:
    """Metrics are shown and kept; another call of the API says that there is none."""
    write(
        tmp_path,
        {
            "dioptra.yml": """
            tasks:
              measure: {plugin: probe.tasks.measure, outputs: {x: any}}
              ask: {plugin: probe.tasks.ask, outputs: {x: any}}
            graph:
              measured: {task: measure}
              asked: {task: ask, dependencies: measured}
            """,
            "plugins/probe/tasks.py": """
            import os
            import mlflow
            import structlog
            from dioptra import pyplugs
            from dioptra.sdk.utilities.auth_client import (
                get_authenticated_worker_client,
            )

            LOG = structlog.get_logger()

            @pyplugs.register
            def measure():
                client = get_authenticated_worker_client(LOG, "json")
                job = int(os.environ["__JOB_ID"])
                client.jobs.append_metric_by_id(job, "loss", 0.5, 1)
                client.jobs.append_metric_by_id(job, "loss", 0.25, 2)
                mlflow.log_metric("direct", 7)

            @pyplugs.register
            def ask():
                get_authenticated_worker_client(LOG, "json").queues.get()
            """,
        },
    )
    found = _json(tmp_path, "dioptra.yml", code=1)
    assert found["metrics"] == {
        "direct": {"value": 7.0, "step": 0},
        "loss": {"value": 0.25, "step": 2},
    }
    assert "this run has no Dioptra server; set DIOPTRA_API" in found["reason"]
    kept = tmp_path / "mlruns/0" / found["run"] / "metrics/loss"
    assert [line.split()[1:] for line in kept.read_text().splitlines()] == [
        ["0.5", "1"],
        ["0.25", "2"],
    ]


# -- processes that are watched while they run -------------------------------------


@pytest.fixture(name="live")
def _live(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    made: list[Live] = []

    def start(*arguments: str | Path, tty: bool = False) -> Live:
        command = [COMMAND, "run", *map(str, arguments)]
        made.append(Live(command, tmp_path, _environment(tmp_path), tty=tty))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_the_debugger_opens_in_the_plugins_frame(live: Callable[..., Live]) -> None:
    """The prompt is in the author's own file, with the frame's variables."""
    command = live("--debug", EXAMPLES / "failing-job", tty=True)
    command.wait_for("(Pdb) ")
    assert "plugins/failing/tasks.py(39)average()" in command.said
    command.type("p 'readings are', readings\n")
    command.wait_for("('readings are', [])")
    command.type("q\n")
    assert command.end() == 1
    assert 'Traceback (most recent call last):\n  File "/' not in command.said


def test_watch_breaks_and_mends(live: Callable[..., Live], tmp_path: Path) -> None:
    """It runs again after each change, says what is wrong, and ends with Ctrl-C."""
    file = sums(tmp_path)
    plugin = tmp_path / "plugins/sums/tasks.py"
    whole = plugin.read_text()
    command = live("--watch", file)
    command.wait_for("waiting for a change")
    assert "finished after" in command.said
    plugin.write_text(whole.replace("return a + b", "return a + undefined"))
    command.wait_for("changed: plugins/sums/tasks.py")
    command.wait_for("NameError: name 'undefined' is not defined")
    command.wait_for("waiting for a change", 2)
    plugin.write_text(whole.replace("def add", "def ad"))
    command.wait_for("Did you mean 'ad'?")
    command.wait_for("waiting for a change", 3)
    file.write_text("graph: [")
    command.wait_for("changed: sums.yml")
    command.wait_for("error: This is not valid YAML")
    command.wait_for("waiting for a change", 4)
    plugin.write_text(whole)
    sums(tmp_path)
    command.wait_for("finished after", 2)
    command.wait_for("waiting for a change", 5)
    command.process.send_signal(signal.SIGINT)
    assert command.end() == 130
    assert "Traceback" not in command.said.replace(
        'Traceback (most recent call last):\n        File "sums', ""
    )


def test_a_change_stops_a_run_that_nobody_wants_any_more(
    live: Callable[..., Live], tmp_path: Path
) -> None:
    """A change in the middle of a long run begins the next one at once."""
    file = sums(tmp_path)
    plugin = tmp_path / "plugins/sums/tasks.py"
    whole = plugin.read_text()
    plugin.write_text(whole.replace("return a + b", "import time; time.sleep(300)"))
    command = live("--watch", file)
    command.wait_for("adding 1 1")
    plugin.write_text(whole)
    command.wait_for("finished after")
    command.process.send_signal(signal.SIGINT)
    assert command.end() == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_all_of_it(
    live: Callable[..., Live], tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, or SIGTERM, leaves no process and no folder of the run."""
    file = sums(tmp_path)
    write(tmp_path, {"plugins/sums/tasks.py": SLEEPER})
    file.write_text(file.read_text().partition("artifact_outputs")[0])
    command = live(file)
    command.wait_for("runner ")
    (pid,) = re.findall(r"runner (\d+)", command.said)
    folder = Path(f"/proc/{pid}/cwd").readlink() if Path("/proc").exists() else None
    command.process.send_signal(number)
    assert command.end() == 130
    assert "interrupted, in step 'first'" in command.said
    assert not wait_until_gone({int(pid)})
    assert folder is None or not folder.exists()
