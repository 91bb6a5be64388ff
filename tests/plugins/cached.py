"""What tests fetch from elsewhere, kept in the cache from one session to the next."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.plugins.stack import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable


def cached(package: str, fill: Callable[[Path], object]) -> Path:
    """A folder for a package, filled if it is not there, whole or not at all.

    Args:
        package: Its name and version, as in ``mlflow==2.22.5``.
        fill: Fills the folder, which is empty.
    """
    folder = cache_folder() / package.replace("==", "-")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            made = Path(place, "made")
            made.mkdir()
            fill(made)
            made.rename(folder)
    return folder


def pip(*arguments: str) -> None:
    """Call this interpreter's pip, quietly."""
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet"]
    command += ["--disable-pip-version-check", *arguments[1:]]
    subprocess.run(command, check=True, capture_output=True, text=True)
