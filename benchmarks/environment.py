"""Fresh environments, each with what its users install and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.rivals import OURS, PEER
from dioptra_worker.tools.local.rest_api import peer

_ROOT = Path(__file__).resolve().parents[1]
_WANTED = {
    OURS: ["--constraint", str(_ROOT / "constraints.txt"), str(_ROOT)],
    PEER: [
        "--constraint",
        str(peer.PINS / "constraints.txt"),
        f"dioptra-platform=={peer.PEER_VERSION}",
    ],
}


def fresh(name: str, folder: Path) -> float:
    """Install a rival's package with all that it declares, and no extra.

    Args:
        name: The rival's name.
        folder: The environment to make.

    Returns:
        The seconds that the installation took.

    Raises:
        BenchmarkError: It cannot be installed.
    """
    _run(name, [sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = folder / "bin/python"
    began = time.monotonic()
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    _run(name, [*pip, "--disable-pip-version-check", *_WANTED[name]])
    return time.monotonic() - began


def _run(name: str, command: list[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise BenchmarkError(
            f"The package of {name!r} could not be installed into a fresh environment;"
            " this needs a package index. pip said last:\n"
            + "\n".join(answer.stderr.splitlines()[-5:])
        )
