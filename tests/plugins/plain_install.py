"""The package as ``pip install dioptra-worker`` has it: with what it requires, no more.

The tests' own environment has far more, such as the whole MLflow, which imports pandas:
each fork server that starts there takes two thirds longer than a user's.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sys
import tempfile
import venv
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dioptra_worker
from dioptra_worker.common.files.stale_workspaces import remove_stale
from dioptra_worker.common.files.workspace import owner_token

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "dioptra-worker"
KIND = "dioptra-tests-plain"
PROGRAMS = ("dioptra-worker", "dioptra-worker-v1")


@functools.cache
def plain_install() -> Path:
    """Return the folder of its programs, in an environment made for this process.

    All that is installed in it are links to the tests' own, and nothing is fetched.
    """
    # Not in pytest's folders: jobs may have users of their own, who must read it.
    parent = Path(tempfile.gettempdir())
    remove_stale(parent, kind=KIND)  # of test runs that were interrupted
    folder = Path(tempfile.mkdtemp(prefix=f"{KIND}-{owner_token(os.getpid())}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Our own as this process has it: the one that is installed may be elsewhere.
    (packages / "dioptra_worker").symlink_to(Path(dioptra_worker.__file__).parent)
    for name in required(PACKAGE):
        for path in _top_level(metadata.distribution(name)):
            link = packages / path.name
            if not link.exists() and path.suffix != ".pth":
                link.symlink_to(path)
    programs = folder / "bin"
    for name in PROGRAMS:
        _, _, code = Path(sys.executable).with_name(name).read_text().partition("\n")
        program = programs / name
        program.write_text(f"#!{programs / 'python'}\n{code}")
        program.chmod(0o755)
    return programs


def required(name: str) -> set[str]:
    """The normal names of the distributions that one needs, itself among them."""
    found: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(name), "")]
    while todo:
        wanted = todo.pop()
        if wanted in found:
            continue
        found.add(wanted)
        name, extra = wanted
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            needed = canonicalize_name(requirement.name)
            todo += [(needed, each) for each in ("", *requirement.extras)]
    return {name for name, _ in found}


def _top_level(distribution: metadata.Distribution) -> Iterator[Path]:
    """What a distribution has put beside others', not into folders of its own."""
    files = distribution.files or []
    for name in {file.parts[0] for file in files} - {"..", "__pycache__"}:
        yield Path(str(distribution.locate_file(name))).absolute()
