"""What else makes a result repeatable: packages, interpreter and hardware.

Read once per process and kept: in a forked runner it is what its fork server read.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dioptra_worker.provenance.run_tags import MAX_TAG_VALUE

if TYPE_CHECKING:
    from email.message import Message

PACKAGES_TAG = "dioptra.packages"
PACKAGE_LIST_TAG = "dioptra.packageList"
_GPUS = Path("/proc/driver/nvidia/gpus")
_MODEL = re.compile(r"^Model:\s*(.+?)\s*$", re.MULTILINE)
_CPU = re.compile(r"^model name\s*:\s*(.+?)\s*$", re.MULTILINE)


@functools.cache
def packages() -> tuple[str, ...]:
    """The installed packages as ``name==version``, sorted, names in lower case."""
    found = set()
    for distribution in importlib.metadata.distributions():
        name = _said(distribution, "Name")
        if name:
            normal = re.sub(r"[-_.]+", "-", name).lower()
            found.add(f"{normal}=={_said(distribution, 'Version')}")
    return tuple(sorted(found))


def _said(distribution: importlib.metadata.Distribution, field: str) -> str | None:
    """What a package says of itself; None where half of it is left, as after a crash.

    Where something is missing, finders raise or warn: Python's do from 3.12 on, and
    those of the package ``importlib-metadata``.
    """
    try:
        fields = cast("Message", distribution.metadata)  # else `get` is not declared
        return fields.get(field)
    except (LookupError, OSError, ValueError):
        return None


def digest(lines: tuple[str, ...]) -> str:
    """A short name of a list of packages: equal lists have equal names."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@functools.cache
def surroundings() -> dict[str, str]:
    """Tags that say where a job runs: by name, what is not known left out."""
    found = {
        PACKAGES_TAG: digest(packages()),
        PACKAGE_LIST_TAG: _listed(packages()),
        "dioptra.python": platform.python_version(),
        "dioptra.system": f"{platform.system()} {platform.machine()}",
        "dioptra.cpu": f"{os.cpu_count()} x {_cpu()}",
        "dioptra.memory": _memory(),
        "dioptra.gpu": ", ".join(_gpus()),
    }
    return {name: value for name, value in found.items() if value}


def _listed(lines: tuple[str, ...]) -> str:
    """The packages in one tag; none when MLflow servers may refuse that many."""
    text = " ".join(lines)
    return text if len(text) <= MAX_TAG_VALUE else ""


def _cpu() -> str:
    try:
        found = _CPU.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> str:
    if sys.platform == "win32":
        return ""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return ""
    return f"{size / 2**30:.1f} GiB"


def _gpus() -> list[str]:
    """The models of NVIDIA's GPUs as the driver names them; no framework is asked."""
    names = []
    for file in sorted(_GPUS.glob("*/information")):
        try:
            found = _MODEL.search(file.read_text(encoding="utf-8"))
        except OSError:
            continue
        if found:
            names.append(found[1])
    return names
