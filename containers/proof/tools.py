"""Docker, Podman and Buildah: which there are, and how each builds and runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BUILD_SECONDS = 3600.0
CALL_SECONDS = 300.0
WRITABLE = ("/work", "/tmp")  # noqa: S108 - folders of a container
_LAST = 2000


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What builds images and runs containers.

    Attributes:
        builder: The beginning of the command that builds.
        build_flags: Its options.
        runner: ``docker`` or ``podman``; empty where nothing can run.
        run_flags: Options of every container.
    """

    builder: tuple[str, ...]
    build_flags: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    run_flags: tuple[str, ...] = ("--network", "host")

    def build(
        self,
        image: str,
        dockerfile: Path,
        *,
        context: Path,
        arguments: Mapping[str, str],
        log: Path,
        pip_conf: Path | None = None,
    ) -> None:
        """Build an image.

        Raises:
            ProofError: It could not be built; the message ends with what was said last.
        """
        command = [*self.builder, *self.build_flags, "--tag", image]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        if pip_conf is not None:
            command += ["--secret", f"id=pip.conf,src={pip_conf}"]
        command += ["--file", str(dockerfile), str(context)]
        with log.open("wb") as file:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=BUILD_SECONDS,
                check=False,
            ).returncode
        if code:
            said = log.read_text(encoding="utf-8", errors="replace")[-_LAST:]
            raise ProofError(f"{image} could not be built:\n{said}")

    def size(self, image: str) -> int:
        """The bytes of an image."""
        program = self.runner or (self.builder[0],)
        if program[0] == "buildah":
            told = call([*program, "inspect", "--type", "image", image])
            return int(json.loads(told).get("Size", 0))
        told = call([*program, "image", "inspect", "--format", "{{.Size}}", image])
        return int(told)

    def has(self, image: str) -> bool:
        """Whether an image is there already."""
        command = [*(self.runner or self.builder[:1]), "inspect", "--type", "image"]
        return _run([*command, image]).returncode == 0

    def run(
        self,
        name: str,
        image: str,
        *arguments: str,
        environment: Path | None = None,
        options: Sequence[str] = (),
    ) -> Container:
        """Start a container with all closed that the worker does not need."""
        command = [
            *(*self.runner, "run", "--detach", "--name", name, *self.run_flags),
            *("--read-only", *(f"--tmpfs={folder}" for folder in WRITABLE)),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *(("--env-file", str(environment)) if environment else ()),
            *options,
            *(image, *arguments),
        ]
        call(command)
        return Container(tools=self, name=name)


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container that was started.

    Attributes:
        tools: What runs it.
        name: Its name.
    """

    tools: Tools
    name: str
    _since: float = field(default_factory=time.monotonic)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return _run([*self.tools.runner, "exec", self.name, *command])

    def log(self) -> str:
        """What it has written."""
        done = _run([*self.tools.runner, "logs", self.name])
        return done.stdout + done.stderr

    def wait_for(self, text: str, *, seconds: float) -> None:
        """Wait until it has written a text.

        Raises:
            ProofError: It has not in time, or has ended.
        """
        deadline = time.monotonic() + seconds
        while text not in (said := self.log()):
            running = self.state("Running")
            if not running or time.monotonic() > deadline:
                end = "did not come" if running else "never came: the container ended"
                raise ProofError(f"{text!r} {end}; it said:\n{said[-_LAST:]}")
            time.sleep(0.5)

    def state(self, key: str) -> Any:
        """A value of its state, such as ``Running`` or ``ExitCode``."""
        told = call([*self.tools.runner, "container", "inspect", self.name])
        return json.loads(told)[0]["State"].get(key)

    def healthy(self) -> bool:
        """Whether the image's own health check says so."""
        if self.tools.runner[0] == "podman":  # whose timers may need systemd
            command = [*self.tools.runner, "healthcheck", "run", self.name]
            return _run(command).returncode == 0
        deadline = time.monotonic() + CALL_SECONDS
        while (told := (self.state("Health") or {}).get("Status")) == "starting":
            if time.monotonic() > deadline:
                break
            time.sleep(1.0)
        return bool(told == "healthy")

    def stop(self, *, patience: int) -> float:
        """Stop it as `docker stop` does; the seconds that took."""
        began = time.monotonic()
        call([*self.tools.runner, "stop", "--time", str(patience), self.name])
        return time.monotonic() - began

    def remove(self) -> None:
        """Remove it, running or not."""
        _run([*self.tools.runner, "rm", "--force", self.name])


def find() -> Tools | None:
    """What this machine has; None when nothing can build."""
    if shutil.which("docker") and _run(["docker", "info"]).returncode == 0:
        return Tools(builder=("docker", "build"), runner=("docker",))
    # Health checks are kept in Docker's format only. chroot works where a machine
    # allows no namespaces; the limits are those that such a machine can keep.
    flags = (
        *("--format", "docker", "--isolation", "chroot"),
        *("--network", "host", "--layers"),
    )
    if shutil.which("podman"):
        runtime = ("--runtime", "runc") if shutil.which("runc") else ()
        return Tools(
            builder=("podman", "build"),
            build_flags=flags,
            runner=("podman", *runtime),
            run_flags=(
                *("--network", "host"),
                *("--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"),
            ),
        )
    if shutil.which("buildah"):
        return Tools(builder=("buildah", "build"), build_flags=flags)
    return None


def call(command: Sequence[str]) -> str:
    """Run a command that must work; what it printed.

    Raises:
        ProofError: It did not; the message ends with what it said.
    """
    done = _run(command)
    if done.returncode:
        words = " ".join(command[:3])
        raise ProofError(f"{words} … ended with {done.returncode}:\n{done.stderr}")
    return done.stdout.strip()


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS,
        check=False,
    )
