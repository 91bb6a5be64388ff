"""Whether an image, or an environment, has in it what a worker is started with."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.settings import Settings

PROGRAM = "dioptra-worker-v1"
_OURS = b"from dioptra_worker"


def check(settings: Settings) -> Iterator[Finding]:
    """Check the image.

    Args:
        settings: Say what is to be preloaded.
    """
    yield _program()
    yield _user()
    yield _preload(settings.preload_names)


def _program() -> Finding:
    found = shutil.which(PROGRAM)
    if found is None:
        return fail(
            PROGRAM,
            "there is no such program on PATH",
            "put the folder of the environment's programs on PATH",
        )
    if _OURS not in Path(found).read_bytes():
        return fail(
            PROGRAM,
            f"{found} is not of this package",
            "install dioptra-platform into an environment of its own, or install"
            " dioptra-worker after it",
        )
    return ok(PROGRAM, found)


def _user() -> Finding:
    name, user = "user", os.getuid()
    if user == 0:
        return warn(
            name,
            "root: jobs may change what is installed",
            "name another user, such as USER 39000:100 in the Dockerfile",
        )
    return ok(name, f"{user}, group {os.getgid()}")


def _preload(modules: tuple[str, ...]) -> Finding:
    name = "preload"
    missing = [
        module
        for module in modules
        if importlib.util.find_spec(module.partition(".")[0]) is None
    ]
    if missing:
        return fail(
            name,
            f"not installed: {', '.join(missing)}",
            "install what DIOPTRA_WORKER_PRELOAD names, or name something else",
        )
    return ok(name, ", ".join(modules) or "nothing is asked for")
