"""Python, the platform, and the packages that the worker runs on."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from dioptra_worker import __version__
from dioptra_worker.common.processes.interpreter import what_python_lacks
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = ("rq", "redis", "mlflow-skinny", "boto3", "requests", "pydantic-settings")
PLATFORMS = ("linux", "darwin")
NEWEST = (3, 13)
"""The newest Python that the worker is tested with."""


def check() -> Iterator[Finding]:
    """Check the machine."""
    yield _python()
    yield _packages()
    yield _platform()


def _python() -> Finding:
    text = f"{platform.python_version()} at {sys.executable}"
    if lacks := what_python_lacks():
        return fail("Python", *lacks)
    if sys.version_info[:2] > NEWEST:
        newest = ".".join(map(str, NEWEST))
        return warn("Python", f"{text} is newer than tested", f"use Python {newest}")
    return ok("Python", text)


def _packages() -> Finding:
    name = "packages"
    found = {package: _version(package) for package in PACKAGES}
    missing = [package for package, version in found.items() if version is None]
    if missing:
        return fail(
            name,
            f"not installed: {', '.join(missing)}",
            "install dioptra-worker again, with its dependencies",
        )
    told = ", ".join(f"{package} {version}" for package, version in found.items())
    peer = _version("dioptra-platform")
    beside = f", dioptra-platform {peer} beside it" if peer else ""
    return ok(name, f"dioptra-worker {__version__}, {told}{beside}")


def _platform() -> Finding:
    cores = os.cpu_count() or 1
    text = f"{platform.platform()}, {cores} {'core' if cores == 1 else 'cores'}"
    if sys.platform not in PLATFORMS:
        return warn("platform", text, "use Linux or macOS")
    return ok("platform", text)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
