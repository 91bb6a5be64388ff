"""The package, installed from nothing for any version of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def interpreter(version: str) -> Path | None:
    """Where a version of Python is, such as 3.13; None if nowhere.

    It is the one that runs the tests, or is looked for on the path, and where pyenv
    keeps them.
    """
    if version == "{}.{}".format(*sys.version_info):
        return Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = [shutil.which(f"python{version}")]
    found += map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))
    for path in filter(None, found):
        tried = subprocess.run([path, "-c", ""], capture_output=True, check=False)
        if tried.returncode == 0:  # pyenv's own programs begin those it was told only
            return Path(path)
    return None


@contextmanager
def installed(python: Path, package: Path = ROOT) -> Iterator[Path]:
    """Install the package, or a wheel of it, in an environment that has nothing else.

    Yields:
        The folder of its programs, until the end of the block.
    """
    # Not in pytest's folders: jobs may have users of their own, who must read it.
    with tempfile.TemporaryDirectory(prefix="dioptra-tests-python-") as folder:
        Path(folder).chmod(0o755)
        programs = Path(folder, "bin")
        install = [str(programs / "python"), "-m", "pip", "install", "--quiet"]
        install += ["--disable-pip-version-check"]
        install += ["--constraint", str(ROOT / "constraints.txt"), str(package)]
        for command in ([str(python), "-m", "venv", folder], install):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        yield programs
