"""No secret is in what the worker and its commands print, whoever makes the sentence.

Attack: libraries put addresses with passwords into their errors, and helpers of the
worker print them. Promise: what is printed goes through one mask.
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.until import until

from dioptra_worker.common import log_setup
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.credentials import secrets_in
from dioptra_worker.supervision.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORDS = ("of-the/API", "of-redis@1", "of-mlflow", "of-a-person")
QUOTED = ("of-the%2FAPI", "of-redis%401")
BASICS = ("bWU6b2YtbWxmbG93", "bWU6b2YtdGhlL0FQS")

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "DIOPTRA_API": "http://me:of-the%2FAPI@127.0.0.1:9",
    "RQ_REDIS_URI": "redis://:of-redis%401@127.0.0.1:9/0",
    "MLFLOW_TRACKING_URI": "http://me:of-mlflow@127.0.0.1:9",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "me",
    "AWS_SECRET_ACCESS_KEY": "of-the-store",
    "DIOPTRA_WORKER_USERNAME": "me",
    "DIOPTRA_WORKER_PASSWORD": "of-the-worker",
    "DIOPTRA_USERNAME": "me",
    "DIOPTRA_PASSWORD": "of-a-person",
}
HIDDEN = (*PASSWORDS, *QUOTED, *BASICS, "of-the-store", "of-the-worker")


@pytest.fixture(name="daemon_log")
def _daemon_log() -> Iterator[io.StringIO]:
    """The daemon's log in memory."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    mask = Mask(secrets_in(ENVIRONMENT))
    log_setup.configure(as_json=False, level="INFO", mask=mask, stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_run_that_cannot_be_closed(daemon_log: io.StringIO) -> None:
    """The helper that fails to close a run does not tell MLflow's password."""
    with Launcher(
        mode="cold", preload=(), grace=1.0, environment=ENVIRONMENT
    ) as launcher:
        assert not launcher.close_run("0" * 32, "FAILED", timeout=60.0)
        until(lambda: "is not closed" in daemon_log.getvalue())
    _check(daemon_log.getvalue())


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs", "list"],
        ["jobs", "cancel", "1"],
        ["doctor", "--json", "--timeout", "3", "cpu"],
        ["doctor", "--timeout", "3", "cpu"],
        ["local", "env", "--dir", "of-a-person"],
        ["validate", "redis://me:of-redis@1"],
    ],
    ids=" ".join,
)
def test_commands(arguments: list[str], tmp_path: Path) -> None:
    """No command prints a secret of its environment."""
    _check(_printed(ENVIRONMENT, *arguments, folder=tmp_path))


@pytest.mark.parametrize(
    "wrong",
    [
        {"DIOPTRA_API": "ftp://me:of-the%2FAPI@host"},
        {"RQ_REDIS_URI": "http://me:of-redis%401@host"},
        {"DIOPTRA_WORKER_CONCURRENCY": "of-a-person"},
    ],
    ids=",".join,
)
def test_a_daemon_that_cannot_start(wrong: dict[str, str], tmp_path: Path) -> None:
    """What is wrong with a setting is told without its password."""
    _check(_printed({**ENVIRONMENT, **wrong}, "start", "cpu", folder=tmp_path))


def _printed(environment: dict[str, str], *arguments: str, folder: Path) -> str:
    program = Path(sys.executable).with_name("dioptra-worker")
    done = subprocess.run(
        [str(program), *arguments],
        env={**environment, "HOME": str(folder), "TMPDIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in {1, 2, 3}, done
    return done.stdout + done.stderr


def _check(text: str) -> None:
    assert text
    assert [secret for secret in HIDDEN if secret in text] == [], text
