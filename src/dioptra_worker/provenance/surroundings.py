"""What else makes a result repeatable: packages, interpreter and hardware.

Read once per process and kept: in a forked runner it is what its fork server read.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dioptra_worker.provenance.manifest import FILE_NAME, FOLDER, EnvironmentFacts
from dioptra_worker.provenance.run_tags import MAX_TAG_VALUE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

PACKAGES_TAG = "dioptra.packages"
PACKAGE_LIST_TAG = "dioptra.packageList"
_ELSEWHERE = f"environment.packages in {FOLDER}/{FILE_NAME}"
_DRIVER = Path("/proc/driver/nvidia/version")
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
            found.add(f"{_normal(name)}=={_said(distribution, 'Version')}")
    return tuple(sorted(found))


def _normal(name: str) -> str:
    """A package's name as indexes have it, however the package writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


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


@functools.cache
def environment() -> EnvironmentFacts:
    """What jobs of this process, and of its forks, run in."""
    versions = dict(line.split("==", 1) for line in packages())
    return EnvironmentFacts(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        os=platform.platform(),
        cpu=f"{os.cpu_count()} x {_cpu()}",
        memory=_memory(),
        gpu=tuple(_gpus()),
        driver=_driver(),
        packages=versions,
        lock=_lock(versions),
    )


def _lock(versions: Mapping[str, str]) -> str:
    """The packages as a file of requirements.

    What came of a repository is named by its commit. What came of a folder of this
    machine can be had nowhere: a comment says so.
    """
    origins = {}
    for distribution in importlib.metadata.distributions():
        name = _said(distribution, "Name")
        if name and (origin := _origin(distribution)) is not None:
            origins[_normal(name)] = origin
    lines = [f"# Python {platform.python_version()}"]
    for name, version in versions.items():
        origin = origins.get(name)
        if origin is None:
            lines.append(f"{name}=={version}")
        elif origin.startswith("file:"):
            words = "was installed from a folder or file of its machine"
            lines.append(f"# {name}=={version} {words}")
        else:
            lines.append(f"{name} @ {origin}")
    return "\n".join(lines) + "\n"


def _origin(distribution: importlib.metadata.Distribution) -> str | None:
    """Where a package came from that is not from an index (PEP 610)."""
    try:
        body = json.loads(distribution.read_text("direct_url.json") or "null")
        if body is None:
            return None
        scheme, found, place = str(body["url"]).partition("://")
        host, slash, path = place.partition("/")  # without a user and a password
        url = f"{scheme}{found}{host.rpartition('@')[2]}{slash}{path}"
        source = body.get("vcs_info")
        return f"{source['vcs']}+{url}@{source['commit_id']}" if source else url
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
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
    """The packages in one tag; where, when MLflow servers may refuse that many."""
    text = " ".join(lines)
    return text if len(text) <= MAX_TAG_VALUE else _ELSEWHERE


def _cpu() -> str:
    try:
        found = _CPU.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _driver() -> str:
    """The version of NVIDIA's driver; empty where there is none."""
    try:
        return _DRIVER.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError:
        return ""


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
