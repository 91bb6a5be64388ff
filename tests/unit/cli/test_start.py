"""``dioptra-worker-v1`` as a process, before it needs any service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from tests.unit.api.scripted import Answer, OlderApi, Request, ScriptedApi

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.start import start
from dioptra_worker.evidence import keys
from dioptra_worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.process

PROGRAM = Path(sys.executable).with_name("dioptra-worker-v1")
COMPLETE = {
    "DIOPTRA_WORKER_USERNAME": "worker",
    "DIOPTRA_WORKER_PASSWORD": "swordfish",
    "DIOPTRA_API": "http://127.0.0.1:9",
    "RQ_REDIS_URI": "redis://127.0.0.1:9",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9",
}
"""Settings that are well-formed and lead nowhere: port 9 discards."""


def _run(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        env=dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_empty_environment_names_every_variable() -> None:
    """With an empty environment every required variable is named, and the code is 2."""
    answer = _run("tensorflow-cpu")
    assert answer.returncode == int(ExitCode.USAGE) == 2
    named = [line.partition(":")[0] for line in answer.stderr.splitlines()]
    assert named == [
        field.alias for field in Settings.model_fields.values() if field.is_required()
    ]
    assert answer.stdout == ""


def _without_sqlite(call: str) -> subprocess.CompletedProcess[str]:
    """Run something in a Python that was built without SQLite."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['_sqlite3'] = None; {call}"],
        env=COMPLETE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_python_without_sqlite() -> None:
    """A Python that the worker cannot use is told in a sentence, with code 2."""
    answer = _without_sqlite(
        "sys.argv = ['x', 'q']; from dioptra_worker.cli.start import main; main()"
    )
    assert answer.returncode == ExitCode.USAGE
    assert "built without sqlite3, which the worker needs: use" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    found = _without_sqlite(
        "from dioptra_worker.tools.doctor.checks import machine;"
        "print(next(machine.check()))"
    )
    assert "was built without sqlite3" in found.stdout, found.stderr


def test_url_stands_for_the_variable() -> None:
    """With --url, RQ_REDIS_URI need not be set."""
    answer = _run("--url", "redis://localhost", "tensorflow-cpu")
    assert answer.returncode == ExitCode.USAGE
    assert "RQ_REDIS_URI" not in answer.stderr
    assert "DIOPTRA_API" in answer.stderr


def test_bad_url_is_refused_without_showing_it() -> None:
    """A --url that is none is refused with code 2, and its password is not shown."""
    answer = _run("--url", "http://:hush@localhost", "cpu", environment=COMPLETE)
    assert answer.returncode == ExitCode.USAGE
    assert answer.stderr.startswith("RQ_REDIS_URI: ")
    assert "hush" not in answer.stderr


@pytest.mark.parametrize("queue", ["", " ", " cpu", "cpu "])
def test_blank_queue_is_refused(queue: str) -> None:
    """A queue's name that is empty or has blank ends is quoted, and the code is 2."""
    answer = _run("good", queue, environment=COMPLETE)
    assert answer.returncode == ExitCode.USAGE
    assert repr(queue) in answer.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--no-such-option", "cpu"),
        ("--results-ttl", "soon", "cpu"),
        ("--max-jobs", "0", "cpu"),
        ("--isolation", "thread", "cpu"),
    ],
)
def test_unusable_command_line(arguments: tuple[str, ...]) -> None:
    """A command line that makes no sense is refused with code 2 and a pointer."""
    answer = _run(*arguments, environment=COMPLETE)
    assert answer.returncode == ExitCode.USAGE
    assert "Usage: dioptra-worker-v1 [OPTIONS] QUEUE..." in answer.stderr
    assert "Error: " in answer.stderr


def test_help_needs_no_environment() -> None:
    """--help works with an empty environment and names every variable."""
    answer = _run("--help")
    assert answer.returncode == ExitCode.OK
    for field in Settings.model_fields.values():
        assert str(field.alias) in answer.stdout
    assert answer.stderr == ""


def test_an_older_platform_is_refused() -> None:
    """When the API is there, one sentence says which is needed; Redis is not asked."""
    older = OlderApi(version="1.0.1")
    outage = [Answer(503, {"message": "soon"})] * 2

    def script(request: Request) -> Answer:
        return outage.pop() if outage else older(request)

    with ScriptedApi(script).running() as server:
        environment = {**COMPLETE, "DIOPTRA_API": server.url}
        answer = _run("cpu", environment=environment)
    assert answer.returncode == int(ExitCode.REFUSED) == 3
    assert answer.stderr.endswith(
        f"\nthe Dioptra API at {server.url} is of dioptra-platform 1.0.1, which lacks"
        " what this worker needs: upgrade dioptra-platform to 1.1 or newer\n"
    )


def test_wait_for_is_refused() -> None:
    """An address that is none is quoted, and the code is 2."""
    answer = _run("--wait-for", "redis", "cpu", environment=COMPLETE)
    assert answer.returncode == ExitCode.USAGE
    assert "'redis' is no HOST:PORT, such as redis:6379" in answer.stderr


@pytest.mark.parametrize(
    "text", ["", "redis", ":6379", "redis:", "redis:0", "redis:65536", "::1", "a b:c"]
)
def test_wait_for_takes_addresses_only(text: str) -> None:
    """What is no address is refused and quoted, beside one that is."""
    with pytest.raises(click.BadParameter, match="such as redis:6379") as caught:
        start.make_context("dioptra-worker-v1", ["--wait-for", text, "cpu"])
    assert repr(text) in str(caught.value)


def test_a_key_that_cannot_be_used(tmp_path: Path) -> None:
    """What is no key to sign with, or everybody's to read, is said; the code is 2."""
    key = keys.generate()
    file = tmp_path / "evidence.key"
    keys.write(key, file, tmp_path / "evidence.pub")
    for given, words in (
        ({"DIOPTRA_WORKER_EVIDENCE_KEY": "hello"}, "no private key in PEM"),
        (
            {"DIOPTRA_WORKER_EVIDENCE_KEY_FILE": str(tmp_path / "evidence.pub")},
            "everybody on this machine, jobs included, may read",
        ),
    ):
        environment = {**COMPLETE, **given, "DIOPTRA_WORKER_WORK_DIR": str(tmp_path)}
        answer = _run("tensorflow-cpu", environment=environment)
        assert answer.returncode == ExitCode.USAGE
        assert answer.stderr.startswith("DIOPTRA_WORKER_EVIDENCE_KEY")
        assert words in answer.stderr
        assert len(answer.stderr.splitlines()) == 1


def test_unusable_work_folder(tmp_path: Path) -> None:
    """A work folder that cannot be is named in one sentence, and the code is 2."""
    file = tmp_path / "file"
    file.touch()
    environment = {**COMPLETE, "DIOPTRA_WORKER_WORK_DIR": str(file / "jobs")}
    answer = _run("cpu", environment=environment)
    assert answer.returncode == ExitCode.USAGE
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"DIOPTRA_WORKER_WORK_DIR: {str(file / 'jobs')!r} cannot be")
    assert "Not a directory" in line


def test_waiting_can_be_ended(tmp_path: Path) -> None:
    """SIGTERM ends a worker that waits for a service, with code 0.

    Addresses that it was told to wait for are named in one line, and not waited for.
    """
    environment = {**COMPLETE, "DIOPTRA_WORKER_WORK_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [PROGRAM, "--wait-for", "127.0.0.1:9", "cpu"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said: list[str] = []
        for line in process.stderr:
            said += [line] if "--wait-for" in line else []
            if "waiting: the Dioptra API cannot be reached" in line:
                break
        (line,) = said
        assert "--wait-for 127.0.0.1:9 changes nothing: the worker waits" in line
        process.terminate()
        assert process.wait(60) == ExitCode.OK
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
