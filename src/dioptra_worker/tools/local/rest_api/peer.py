"""An environment of its own for dioptra-platform, whose REST API the stack runs.

It is made once and kept in the cache folder. A virtual environment names its own place,
so it is built there: a marker, written last, says that it is whole, and a lock lets one
process build while others wait. One that was moved with its folder is repaired.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.trusted_folder import check, make_private
from dioptra_worker.common.processes.helpers import run_helper
from dioptra_worker.tools.local.errors import PeerInstallFailed
from dioptra_worker.tools.local.files import tail
from dioptra_worker.tools.local.locks import locked
from dioptra_worker.tools.local.progress import State, Step, silent, step
from dioptra_worker.tools.local.rest_api.database import make_database
from dioptra_worker.tools.local.rest_api.peer_environment import PeerEnvironment
from dioptra_worker.tools.local.rest_api.relocation import repair, was_moved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.tools.local.progress import StepListener

PEER_VERSION = "1.2.2"

PINS = Path(__file__).with_name("pins")
"""The folder that says what is installed: ``slim.txt``, ``constraints.txt``."""

_MARKER = "complete.json"
_TEMPLATE = "database.sqlite"
_INSTALL_TIMEOUT = 1800.0
_PIP_WITH_PYTHON_OPTION = (22, 3)


def ensure_peer(
    cache: Path,
    *,
    full: bool = False,
    pins: Path = PINS,
    progress: StepListener = silent,
) -> PeerEnvironment:
    """Return the environment of dioptra-platform; make it if it is not there.

    Args:
        cache: The folder to keep it in.
        full: Install all that dioptra-platform declares, as its users do, instead
            of what its REST API, worker and client import.
        pins: What is installed, in which versions; see `PINS`.
        progress: Told of every step.

    Raises:
        PeerInstallFailed: It could not be made; the message brings pip's words.
        UntrustedFolder: Somebody else could change what is in the cache.
    """
    home = cache / "peer" / _key(pins, full=full)
    make_private(home.parent)
    environment = PeerEnvironment(home / "venv/bin/python", home / _TEMPLATE)
    if home.exists():
        check(home)
    if _is_whole(home, environment) and not was_moved(environment.python):
        return environment

    def waiting() -> None:
        detail = f"for another process that makes {home}"
        progress(Step("waiting", State.NOTE, detail=detail))

    lock = home.with_name(f"{home.name}.lock")
    with locked(lock, timeout=_INSTALL_TIMEOUT, waiting=waiting):
        if not _is_whole(home, environment):
            shutil.rmtree(home, ignore_errors=True)
            make_private(home)
            try:
                _build(home, environment, pins, full=full, progress=progress)
            except KeyboardInterrupt:  # what failed is left, with its log
                shutil.rmtree(home, ignore_errors=True)
                raise
        repair(environment.python)
    return environment


def given_peer(python: Path) -> PeerEnvironment:
    """Return the environment of an interpreter that somebody names.

    Where it is one that `ensure_peer` has made, its database is copied, too.
    """
    home = python.parent.parent.parent
    environment = PeerEnvironment(python, home / _TEMPLATE)
    return environment if _is_whole(home, environment) else PeerEnvironment(python)


def _build(
    home: Path,
    environment: PeerEnvironment,
    pins: Path,
    *,
    full: bool,
    progress: StepListener,
) -> None:
    what = f"dioptra-platform {pinned_version(pins)}"
    with step(progress, f"install {what}", f"once, into {home}"):
        _run(_venv_command(home / "venv"), home, what)
        _run(_pip_command(environment.python, pins, full=full), home, what)
    with step(progress, "make the database template"):
        make_database(environment.python, home / _TEMPLATE)
    (home / _MARKER).write_text(
        json.dumps({"dioptra-platform": pinned_version(pins), "python": sys.version})
    )


def _is_whole(home: Path, environment: PeerEnvironment) -> bool:
    # The interpreter is a link to the one it was made with, which may be gone.
    return (home / _MARKER).exists() and environment.python.exists()


def pinned_version(pins: Path) -> str:
    """The version of dioptra-platform that is installed."""
    lines = (pins / "constraints.txt").read_text().splitlines()
    name = "dioptra-platform=="
    return next(line for line in lines if line.startswith(name)).removeprefix(name)


def _key(pins: Path, *, full: bool) -> str:
    content = b"".join(path.read_bytes() for path in sorted(pins.iterdir()))
    place = f"{sys.base_prefix}{platform.machine()}".encode()
    digest = hashlib.sha256(content + place).hexdigest()[:8]
    size = "full" if full else "slim"
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    return f"dioptra-platform-{pinned_version(pins)}-{size}-{version}-{digest}"


def _venv_command(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "venv", str(folder)]
    return command if not _pip_here() else [*command, "--without-pip"]


def _pip_command(python: Path, pins: Path, *, full: bool) -> list[str]:
    if _pip_here():
        command = [sys.executable, "-m", "pip", "--python", str(python)]
    else:
        command = [str(python), "-m", "pip"]
    command += ["install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "-c", str(pins / "constraints.txt")]
    if full:
        return [*command, f"dioptra-platform=={pinned_version(pins)}"]
    # Bytecode is written when the database template is made, for what is imported.
    return [*command, "--no-compile", "--no-deps", "-r", str(pins / "slim.txt")]


def _pip_here() -> bool:
    """Tell whether our own pip can install into another environment.

    That saves a copy of pip in each; environments made by uv have none.
    """
    try:
        version = metadata.version("pip")
    except metadata.PackageNotFoundError:
        return False
    return tuple(map(int, version.split(".")[:2])) >= _PIP_WITH_PYTHON_OPTION


def _run(command: Sequence[str], home: Path, what: str) -> None:
    log = home / "install.log"
    with log.open("ab") as output:
        # With the user's environment: pip's settings, proxies and certificates.
        code, _ = run_helper(command, stdout=output, stderr=subprocess.STDOUT)
    if code != 0:
        raise PeerInstallFailed(
            f"Could not install {what} into {home}: "
            f"`{' '.join(command[1:4])} …` ended with {code}. This needs "
            "a package index once: check the network and `pip config list`, then try "
            "again; or name an environment that has it with --peer-python. Its last "
            f"lines, from {log}:\n{tail(log)}"
        )
