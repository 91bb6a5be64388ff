"""Each command where it is used in a way that was not meant: a sentence, no crash."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.plugins.command_host import leaves
from tests.plugins.commands import Ended
from tests.unit.tools.workbench.folders import EXAMPLES

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.main import main

if TYPE_CHECKING:
    import click

COMMANDS = dict(leaves())
RUN = "0" * 64
NOBODY = "http://127.0.0.1:9"
"""Where nothing listens: the port is that of a service which nobody has any more."""
AWAY = {
    "DIOPTRA_API": NOBODY,
    "DIOPTRA_USERNAME": "ada",
    "DIOPTRA_PASSWORD": "a-password",
    "DIOPTRA_WORKER_USERNAME": "worker",
    "DIOPTRA_WORKER_PASSWORD": "a-worker-password",
    "RQ_REDIS_URI": "redis://127.0.0.1:9/0",
    "MLFLOW_TRACKING_URI": NOBODY,
    "MLFLOW_S3_ENDPOINT_URL": NOBODY,
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret-key",
}
NAMED = "name --entrypoint train"
ASKING = {
    "activities list": RUN,
    "activities reset": f"{RUN} --state error",
    "activities stats": RUN,
    "configurations archive": NAMED,
    "configurations create": NAMED,
    "configurations delete": NAMED,
    "configurations list": "--entrypoint train",
    "configurations show": NAMED,
    "configurations unarchive": NAMED,
    "import": "FOLDER",
    "jobs cancel": "7",
    "jobs capsule": "7",
    "jobs delete": "7",
    "jobs diff": "7 8",
    "jobs download": "7",
    "jobs list": "",
    "jobs logs": "7",
    "jobs requeue": "7",
    "jobs repeat": "7",
    "jobs rerun": "7",
    "jobs show": "7",
    "jobs submit": "train --experiment demo",
    "jobs verify": "7",
    "lineage": "7",
    "results publish": f"--run {RUN} FOLDER",
    "worker-runs create": "--experiment demo --entrypoint train",
    "worker-runs delete": f"{RUN} --yes",
    "worker-runs list": "",
    "worker-runs results": RUN,
    "worker-runs show": RUN,
    "workers list": "",
}
"""Command lines that are right, of what can do nothing without a service."""
READING = {
    "capsule diff": "FILE other",
    "capsule repeat": "FILE",
    "capsule replay": "FILE",
    "capsule show": "FILE",
    "capsule verify": "FILE",
    "evidence show": "FILE",
    "evidence verify": "FILE --key FILE",
    "import": "FILE",
    "init-override": "FILE",
    "jobs rerun": "7 --param-file FILE",
    "jobs submit": "train --experiment demo --param-file FILE",
    "results publish": f"--run {RUN} FILE",
    "run": "FILE",
    "sync": "FILE",
    "validate": "FILE",
}
"""What reads a file or a folder."""
WRITING = {
    "evidence keygen": "PLACE/key",
    "init": "PLACE/new",
    "init-image": "PLACE/new",
    "local down": "--dir PLACE/new --cache PLACE/cache",
    "local up": "--dir PLACE/new --cache PLACE/cache",
}
"""What writes files or folders."""
OTHERS = {"demo", "doctor", "health", "jobs serve", "jobs wait", "start"}
OTHERS |= {"local env", "local status"}
"""What is in none of these tables."""
FOLDER = str(EXAMPLES / "hello-world")
ODD_NAMES = (
    *("nowhere", "a b", "ünï", "-x", "a\nb", "\x1b[2J", "b\udcffb", "n" * 300),
    *("/proc/self/mem", "/dev/null", "/", "below/a/file"),
)


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in an empty folder, with a home and little else."""
    for name in ("home", "tmp", "cwd"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    places = {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "DIOPTRA_WORKER_CACHE_DIR": str(tmp_path / "home/cache"),
    }
    kept = {name: None for name in os.environ if name != "PATH"}

    def run(words: list[str], **environment: str) -> Ended:
        answer = CliRunner().invoke(
            main,
            words,
            env={**kept, **places, **environment},
            prog_name="dioptra-worker",
        )
        error = answer.exception
        assert error is None or isinstance(error, SystemExit), answer.exc_info
        return Ended(answer.exit_code, answer.stdout, answer.stderr)

    return run


def _needs_words(command: click.Command) -> bool:
    return any(one.required for one in command.params)


def _is_a_sentence(ended: Ended, *codes: ExitCode) -> None:
    """It says what is wrong, briefly, and ends with a code that says so, too."""
    assert ended.code in (codes or (ExitCode.FAILED, ExitCode.USAGE)), ended
    assert "Traceback" not in ended.said
    assert 0 < len(ended.err) < 900, ended
    assert ended.err.endswith("\n")
    assert not re.search(r"\bError\(|\b[a-z]+Error:|0x[0-9a-f]{6,}", ended.err), ended


def test_all_are_here() -> None:
    """Each command is in one of the tables, or is known to need none."""
    assert {*ASKING, *READING, *WRITING, *OTHERS} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_that_is_none(run: Run, command: str) -> None:
    """It is told which, and where there is help."""
    ended = run([*command.split(), "--no-such-option"], **AWAY)
    _is_a_sentence(ended, ExitCode.USAGE)
    assert "No such option '--no-such-option'" in ended.err
    assert "--help" in ended.err


@pytest.mark.parametrize(
    "command", [name for name, one in COMMANDS.items() if _needs_words(one)]
)
def test_no_arguments(run: Run, command: str) -> None:
    """It is told what is missing."""
    ended = run(command.split(), **AWAY)
    _is_a_sentence(ended, ExitCode.USAGE)
    assert re.search("Missing (argument|option) '", ended.err)


@pytest.mark.parametrize("command", ASKING)
def test_services(run: Run, command: str) -> None:
    """One that is away is told by its address, and variables that nobody has set.

    Nothing secret is.
    """
    words = [*command.split(), *ASKING[command].replace("FOLDER", FOLDER).split()]
    away = run(words, **AWAY)
    _is_a_sentence(away, ExitCode.FAILED)
    assert re.search(
        r"(the Dioptra API|MLflow) cannot be reached at http://127.0.0.1:9"
        r" \((DIOPTRA_API|MLFLOW_TRACKING_URI)\)"
        r"|Redis cannot be reached \(RQ_REDIS_URI\)",
        away.err,
    ), away
    assert "connection refused" in away.err
    assert not re.search("a-(worker-)?password|a-secret-key", away.said)
    bare = run(words)
    _is_a_sentence(bare, ExitCode.USAGE)
    assert re.search("^[A-Z_]+ is missing: ", bare.err), bare


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name[:20]))
def test_odd_names(run: Run, name: str) -> None:
    """What is no file of theirs is told by its name, in one line, without its bytes."""
    Path("below").write_text("")
    for command, words in READING.items():
        given = [name if word == "FILE" else word for word in words.split()]
        *options, last = given
        line = [*options, "--", last] if last == name else given
        ended = run([*command.split(), *line], **AWAY)
        _is_a_sentence(ended)
        assert "\x1b" not in ended.said
        assert "a\nb" not in ended.said
    for command in ("init", "init-image"):
        if name in {"a\nb", "\x1b[2J", "-x", "n" * 300, "/", "/dev/null", "b\udcffb"}:
            _is_a_sentence(run([command, "--", name]))


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("place", ["file", "/proc"])
def test_places_that_cannot_be_used(
    tmp_path: Path, run: Run, command: str, place: str
) -> None:
    """A place below a file, or where nobody can make one, is named."""
    (tmp_path / "file").write_text("")
    place = str(tmp_path / place)
    words = WRITING[command].replace("PLACE", place).replace("FOLDER", FOLDER).split()
    ended = run([*command.split(), *words])
    if command == "local down" and place == "/proc":
        assert ended.code == ExitCode.OK  # there is none
        return
    assert ended.code in {ExitCode.FAILED, ExitCode.USAGE}, ended
    assert "Traceback" not in ended.said
    assert place in ended.said


@pytest.mark.parametrize("name", ["HOME", "TMPDIR", "DIOPTRA_WORKER_CACHE_DIR"])
def test_homes_that_cannot_be_used(tmp_path: Path, run: Run, name: str) -> None:
    """Nothing crashes where its home, temporary folder or cache cannot be used."""
    (tmp_path / "file").write_text("")
    places = {name: str(tmp_path / "file/below")}
    for words in (
        "capsule repeat nothing.zip",
        "jobs list",
        "local down",
        "local status",
        f"validate {FOLDER}",
        *(("demo", "local up") if name == "DIOPTRA_WORKER_CACHE_DIR" else ()),
    ):
        away = AWAY if words.startswith("jobs") else {}
        ended = run(words.split(), **{**away, **places})
        assert ended.code in {ExitCode.OK, ExitCode.FAILED, ExitCode.USAGE}, ended
        assert "Traceback" not in ended.said, ended
