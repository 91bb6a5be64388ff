"""Docker Compose: brings up `deploy/compose/compose.yaml`, and runs a job in it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from dioptra_worker.api.user_client import UserClient
from dioptra_worker.tools.resources import find_folders, import_folder
from dioptra_worker.tools.resources.account import Account

from . import checks
from .context import ROOT
from .errors import ProofError
from .images import IMAGES, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from .tools import Tools

COMPOSE = "compose"
"""What is proven is called so."""
IMAGE = IMAGES["tensorflow-cpu"]
"""Whose worker is brought up, by the service of the same name."""
STAND_INS = Image(name="stand-ins", queue="", entrypoint="", folder="")
"""What the services that are not ours are made of."""
_SECONDS = 900.0
_LAST = 2000
_PROJECT = "dioptra-proof"
_PASSWORDS = (
    *("DATABASE_PASSWORD", "QUEUE_PASSWORD", "QUEUE_WORKER_PASSWORD"),
    *("STORE_ROOT_PASSWORD", "STORE_PASSWORD", "STORE_WORKER_PASSWORD"),
)
_FILES = ("deploy/compose/compose.yaml", "containers/stand-ins/compose.yaml")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A Compose project.

    Attributes:
        compose: The command that Compose is.
        environment: What that needs.
        folder: Where the project's files are.
        port: Where the API is to be reached.
        password: The worker's.
    """

    compose: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    port: int
    password: str

    @classmethod
    def begin(cls, tools: Tools, folder: Path, ending: ExitStack) -> Self:
        """A project of our files, which is taken down in the end.

        Raises:
            ProofError: There is no Docker Compose.
        """
        compose = _compose()
        folder.mkdir()
        for name in _FILES:
            shutil.copy2(ROOT / name, folder / name.replace("/", "-"))
        password, port = secrets.token_hex(8), _free_port()
        _write(folder, password, port)
        project = cls(
            compose=compose,
            environment=ending.enter_context(_engine(tools, folder)),
            folder=folder,
            port=port,
            password=password,
        )
        down = ("--profile", "*", "down", "--volumes", "--timeout", "20")
        ending.callback(project.call, *down)
        return project

    def call(self, *words: str) -> str:
        """Run a command of Compose; what it printed.

        Raises:
            ProofError: It failed; the message ends with what it said.
        """
        done = subprocess.run(
            [*self.compose, *words],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr)[-_LAST:]
            raise ProofError(
                f"compose {words[0]} ended with {done.returncode}:\n{said}"
            )
        return done.stdout

    def bench(self, tools: Tools, ending: ExitStack) -> checks.Bench:
        """The image in this deployment, with its entrypoint imported."""
        account = Account(
            url=f"http://127.0.0.1:{self.port}",
            username="worker",
            password=self.password,
        )
        api = ending.enter_context(account.session())
        resources = UserClient(api)
        for found in find_folders([ROOT / IMAGE.folder]):
            import_folder(resources, found)
        return checks.Bench(
            image=IMAGE,
            tools=tools,
            environment=self.folder / ".env",
            api=api,
            resources=resources,
        )


def deployment_story(
    project: Deployment, tools: Tools, ending: ExitStack
) -> list[tuple[str, Callable[[], str]]]:
    """What is looked at, in its order."""
    benches: list[checks.Bench] = []

    def account() -> str:
        said = project.call("run", "--rm", "account")
        benches.append(project.bench(tools, ending))
        return f"{said.count(' 200')} answers are good"

    def up() -> str:
        project.call("up", "--detach", "--no-recreate", IMAGE.name)
        _until_logged(project, "listens on")
        return "listens"

    def closed_off() -> str:
        command = ("python3", "-c", checks.IDENTITY)
        told = project.call("exec", "-T", IMAGE.name, *command).strip()
        checks.expect(told == checks.USER, f"it runs as {told!r}")
        try:
            project.call("exec", "-T", IMAGE.name, "touch", "/opt/venv/proof")
        except ProofError:
            return f"{told}, read-only"
        raise ProofError("/opt/venv can be written")

    def stop_in_job() -> str:
        bench = benches[0]
        number = checks.begin(bench)
        project.call("stop", IMAGE.name)
        checks.expect_given_back(bench, number)
        project.call("start", IMAGE.name)
        checks.finished_at_last(bench, number)
        return "given back, finished"

    return [
        ("config", lambda: _valid(project)),
        ("account", account),
        ("up", up),
        ("closed off", closed_off),
        ("job", lambda: checks.job(benches[0])),
        ("stop in a job", stop_in_job),
    ]


def _valid(project: Deployment) -> str:
    told = project.call("--profile", "*", "config", "--format", "json")
    return f"{len(json.loads(told)['services'])} services"


def _until_logged(project: Deployment, text: str) -> None:
    deadline = time.monotonic() + checks.START_SECONDS
    while text not in (said := project.call("logs", "--no-color", IMAGE.name)):
        checks.expect(
            time.monotonic() < deadline, f"{text!r} never came:\n{said[-_LAST:]}"
        )
        time.sleep(1.0)


def _write(folder: Path, password: str, port: int) -> None:
    values = {
        "COMPOSE_FILE": ":".join(name.replace("/", "-") for name in _FILES),
        "COMPOSE_PROJECT_NAME": _PROJECT,
        "RESTAPI_IMAGE": STAND_INS.tag,
        "MLFLOW_IMAGE": STAND_INS.tag,
        "WORKER_PASSWORD": password,
        **{name: secrets.token_hex(8) for name in _PASSWORDS},
        "PORT": str(port),
    }
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    (folder / ".env").write_text(text)


def _compose() -> tuple[str, ...]:
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run([*command, "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return command
    raise ProofError("There is neither `docker compose` nor `docker-compose` here.")


@contextmanager
def _engine(tools: Tools, folder: Path) -> Iterator[dict[str, str]]:
    """What tells Compose where containers run; Podman's service for the block."""
    if tools.runner[0] == "docker":
        yield {}
        return
    address = f"unix://{folder / 'podman.sock'}"
    with (folder / "podman.log").open("wb") as log:
        service = subprocess.Popen(
            [*tools.runner, "system", "service", "--time", "0", address],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield {"DOCKER_HOST": address}
        finally:
            service.terminate()
            service.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
