"""An environment with the packages that a capsule has recorded, made once by ``uv``."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import dioptra_worker
from dioptra_worker.common.files.trusted_folder import make_private
from dioptra_worker.common.processes.helpers import run_helper
from dioptra_worker.tools.capsule.errors import CapsuleError
from dioptra_worker.tools.local.locks import locked

if TYPE_CHECKING:
    from dioptra_worker.provenance.manifest import EnvironmentFacts

_OURS = re.compile(r"dioptra[-_.]worker\b", re.IGNORECASE)
_COMPLETE = ".dioptra-worker-complete"
_INSTALL_TIMEOUT = 1800.0


def ensure(environment: EnvironmentFacts, cache: Path) -> Path:
    """An environment with the recorded packages; its interpreter.

    Our own package is the one that runs now, with what the recorded one required: a
    capsule says what the job's code was run with, and how it is run is ours to know.

    Args:
        environment: What was recorded.
        cache: The folder that keeps environments.

    Raises:
        CapsuleError: There is no ``uv``, or it could not make it.
        StackError: Another process takes half an hour to make it.
    """
    lock = _without_ours(environment.lock)
    version = ".".join(environment.python.split(".")[:2])
    name = hashlib.sha256(f"{version}\n{lock}".encode()).hexdigest()[:16]
    folder = cache / "environments" / name
    python = folder / "bin" / "python"
    if (folder / _COMPLETE).is_file():
        return python
    uv = _uv()
    make_private(folder.parent)
    # Two replays may come at once, also of capsules that have the same packages.
    with locked(folder.with_name(f"{name}.lock"), timeout=_INSTALL_TIMEOUT):
        if not (folder / _COMPLETE).is_file():
            _make(folder, python, uv, version, lock)
    return python


def _make(folder: Path, python: Path, uv: str, version: str, lock: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run([uv, "venv", "--quiet", "--python", version, str(folder)])
        requirements = folder / "requirements.txt"
        requirements.write_text(lock, encoding="utf-8")
        packages = ("--no-deps", "--requirement", str(requirements))
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *packages])
        _link_ours(folder)
        (folder / _COMPLETE).touch()
    except BaseException:  # Ctrl-C, too: it may be large, and is of no use
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _without_ours(lock: str) -> str:
    return "".join(
        line for line in lock.splitlines(keepends=True) if not _OURS.match(line)
    )


def _uv() -> str:
    try:
        found: str = importlib.import_module("uv").find_uv_bin()
    except (ImportError, FileNotFoundError):
        on_path = shutil.which("uv")
        if on_path is None:
            raise CapsuleError(
                "the recorded packages are installed by 'uv', which is not here: pip"
                " install 'dioptra-worker[capsule]', or give --here to run it with the"
                " packages of this environment"
            ) from None
        return on_path
    return found


def _run(command: list[str]) -> None:
    code, said = run_helper(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if code:
        last = said.strip()[-2000:]
        raise CapsuleError(
            "the environment with the recorded packages could not be made; give --here"
            f" to run it with the packages of this one.\n{last}"
        )


def _link_ours(folder: Path) -> None:
    """Have our own package in the environment as it is here."""
    (packages,) = folder.glob("lib/python*/site-packages")
    source = Path(dioptra_worker.__file__).parent
    (packages / source.name).symlink_to(source)
