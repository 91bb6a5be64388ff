"""A job that sets a variable too late is told so: a library has read it already.

Some libraries read a variable when they are imported. What is imported before the job's
process is forked has read it for all jobs: a plugin that sets it before its own
``import`` gets what it asked for in a cold process only.
"""

from __future__ import annotations

import logging
import os
import sys

log = logging.getLogger("dioptra_worker.runner")

READ_AT_IMPORT = {
    "jax": ("JAX_PLATFORMS",),
    "keras": ("KERAS_BACKEND",),
    "numpy": ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    "torch": ("OMP_NUM_THREADS",),
}
"""Variables, by the package that reads them when it is imported, and never again."""


def tell_of_late_variables() -> None:
    """From now on, say it when somebody sets one that was read before; each once."""
    readers: dict[object, list[str]] = {}
    for package, names in READ_AT_IMPORT.items():
        if package in sys.modules:
            for name in names:
                readers.setdefault(name, []).append(package)
    if not readers:
        return
    plain: type[os._Environ[str]] = type(os.environ)

    class Environment(plain):  # type: ignore[misc, valid-type]
        def __setitem__(self, name: str, value: str) -> None:
            changed = name in readers and self.get(name) != value
            super().__setitem__(name, value)
            if changed and (packages := readers.pop(name, None)):
                log.warning("%s", words(name, packages))

    # Whoever has the object goes on with it, and nothing of it is copied.
    os.environ.__class__ = Environment


def words(name: str, packages: list[str]) -> str:
    """What a job is told that has set a variable too late for some packages."""
    which = " and ".join(packages)
    reads = "reads it when it is" if len(packages) == 1 else "read it when they are"
    return (
        f"the plugin sets {name} too late for {which}, which {reads} imported: the"
        " worker did that before the job. Set the variable for the worker, for all of"
        " its jobs"
    )
