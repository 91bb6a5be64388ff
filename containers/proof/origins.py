"""What images are built on: pulled, or made of Debian's packages."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ProofError
from .tools import call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .tools import Tools

_BOOTSTRAP_SECONDS = 900.0
_TRUSTED = "usr/local/share/ca-certificates"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """An image that is none of ours.

    Attributes:
        public: What it is called where images can be pulled.
        own: What one that is made here instead is called.
        suite: The release of Debian that it is made of.
        packages: Besides the smallest system.
        inside: Commands that are run in it.
        variables: Its environment.
    """

    public: str
    own: str
    suite: str
    packages: tuple[str, ...] = ()
    inside: tuple[tuple[str, ...], ...] = ()
    variables: tuple[str, ...] = ()


DEBIAN = Origin(
    public="docker.io/library/debian:bookworm-slim",
    own="localhost/debian:bookworm-slim",
    suite="bookworm",
)
"""What the base is built on."""
PYTHON = Origin(
    public="docker.io/library/python:3.13-slim-trixie",
    own="localhost/python:3.13-trixie",
    suite="trixie",
    packages=("python3-venv", "ca-certificates"),
    inside=(("python3", "-m", "venv", "/opt/python"), ("update-ca-certificates",)),
    variables=("PATH=/opt/python/bin:/usr/bin:/bin", f"PIP_CERT={_BUNDLE}"),
)
"""An image as researchers have them: with Python and pip, without our worker."""


def provide(
    origin: Origin, tools: Tools, *, certificates: Sequence[Path], log: Path
) -> str:
    """The name of an image to build on, which is there afterwards.

    Args:
        origin: Which one.
        tools: What pulls.
        certificates: Files to be trusted in an image that is made.
        log: Where debootstrap writes.

    Raises:
        ProofError: There is none and debootstrap cannot make one.
    """
    if not tools.runner:
        return origin.public
    for image in (origin.public, origin.own):
        if tools.has(image):
            return image
    try:
        call([*tools.runner, "pull", origin.public])
    except (ProofError, subprocess.TimeoutExpired):
        _make(origin, tools, certificates, log)
        return origin.own
    return origin.public


def _make(
    origin: Origin, tools: Tools, certificates: Sequence[Path], log: Path
) -> None:
    if shutil.which("debootstrap") is None:
        raise ProofError(
            f"{origin.public} cannot be pulled, and there is no debootstrap to make"
            " one like it: pull it, or install debootstrap."
        )
    with tempfile.TemporaryDirectory(prefix="debian-") as name:
        root, archive = Path(name, "root"), Path(name, "root.tar")
        packages = ",".join(origin.packages)
        include = [f"--include={packages}"] if packages else []
        command = ["debootstrap", "--variant=minbase", *include]
        _run([*command, origin.suite, str(root)], log)
        if origin.inside:
            for file in certificates:
                shutil.copy2(file, root / _TRUSTED)
        for inside in origin.inside:
            _run(["chroot", str(root), *inside], log)
        _run(["tar", "-C", str(root), "-c", "-f", str(archive), "."], log)
        changes = [f"--change=ENV {variable}" for variable in origin.variables]
        _run([*tools.runner, "import", *changes, str(archive), origin.own], log)


def _run(command: list[str], log: Path) -> None:
    with log.open("ab") as file:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=_BOOTSTRAP_SECONDS,
            check=False,
        )
    if done.returncode:
        raise ProofError(f"{command[0]} failed; see {log}")
