"""The peer as an oracle: a process of its own, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.tools.local.rest_api.peer import PEER_VERSION

if TYPE_CHECKING:
    from typing import Self

ROOT = Path(__file__).parents[2]
PYTHON = "DIOPTRA_WORKER_PEER_PYTHON"
SDIST = "PEER_SDIST"
CACHE = "DIOPTRA_WORKER_CACHE_DIR"


def python() -> Path | None:
    """Find the interpreter of an environment with the peer in it."""
    chosen = os.environ.get(PYTHON)
    path = Path(chosen) if chosen else ROOT / ".cache/peer/bin/python"
    return path if path.exists() else None


def sdist() -> Path:
    """Find the unpacked source distribution of the peer, which has its tests.

    It is downloaded once into the cache, unless the environment names a folder.

    Raises:
        subprocess.CalledProcessError: It cannot be downloaded.
    """
    chosen = os.environ.get(SDIST)
    if chosen:
        return Path(chosen)
    cache = Path(os.environ.get(CACHE, ROOT / ".cache")) / "peer-sdist"
    name = f"dioptra_platform-{PEER_VERSION}"
    if not (cache / name).exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary=dioptra-platform", f"--dest={cache}"]
        command += [f"dioptra-platform=={PEER_VERSION}"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        with tarfile.open(cache / f"{name}.tar.gz") as archive:
            archive.extractall(cache, filter="data")
    return cache / name


class Peer:
    """Asks the peer for verdicts; close it after use.

    Args:
        interpreter: The Python of the peer's environment.
    """

    def __init__(self, interpreter: Path) -> None:
        self._process = subprocess.Popen(
            [interpreter, Path(__file__).with_name("oracle.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def job(self, config: Any) -> dict[str, Any]:
        """Ask whether the peer's worker would run this configuration."""
        return self._ask(kind="job", config=repr(config))

    def entrypoint(self, config: Any) -> dict[str, Any]:
        """Ask whether the platform would take this entrypoint, its swaps open."""
        return self._ask(kind="open", config=repr(config))

    def run(self, config: Any, parameters: dict[str, Any]) -> dict[str, Any]:
        """Ask how the peer runs a graph: the calls in order, and what steps need."""
        return self._ask(kind="run", config=repr(config), parameters=parameters)

    def _ask(self, **question: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer
