"""Lets the clock of the day of one worker be set, and of nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def build(folder: Path) -> Path | None:
    """Build what is preloaded into workers.

    Args:
        folder: Where it is put.

    Returns:
        The library; None where there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "stepped_clock.so"
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Werror")
    command = [compiler, *flags, "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


class SteppedClock:
    """The clock of one worker.

    Attributes:
        environment: What the worker needs in its environment to go by it.
    """

    def __init__(self, library: Path, path: Path) -> None:
        """Begin, with the right time.

        Args:
            library: What `build` has made.
            path: A file of its own.
        """
        self._path = path
        self.environment = {"LD_PRELOAD": str(library), "SOAK_CLOCK": str(path)}
        path.write_bytes(bytes(8))

    def step(self, seconds: float) -> None:
        """Set it.

        Args:
            seconds: How far it is ahead of the right time from now on.
        """
        value = int(seconds * 1e9).to_bytes(8, "little", signed=True)
        with self._path.open("r+b") as file:  # in place: processes have it mapped
            os.pwrite(file.fileno(), value, 0)
