"""What a fork server imports beforehand, and whether it may be forked afterwards."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.memory import resident_bytes
from dioptra_worker.protocol.forkserver import PreloadedModule
from dioptra_worker.provenance.surroundings import surroundings
from dioptra_worker.runner.forkserver.descriptors import STANDARD
from dioptra_worker.runner.forkserver.warmup import warm_up_caches
from dioptra_worker.sdk import compat
from dioptra_worker.sdk.missing_names import explain_missing_names
from dioptra_worker.sdk.output_capture import prepare_logging

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

ALWAYS_PRELOADED = (
    "dioptra.client",
    "dioptra.pyplugs",
    "dioptra.sdk.api.artifact",
    "dioptra.sdk.utilities.auth_client",
    "dioptra_worker.engine",
    "dioptra_worker.sdk.auth_client",
    "dioptra_worker.sdk.client.client",
    "jsonschema",
    "netrc",  # which requests imports at its first request
)
FORK_AWARE = {"jemalloc_bg_thd"}
"""Native threads, by name, of libraries that stop and restart them around a fork."""
_SHARED_WITH_FORKS = ("socket:", "pipe:", "anon_inode:")
_PROC = Path("/proc/self")


@dataclass(frozen=True)
class Preloaded:
    """What the imports before a fork have brought, and cost.

    Attributes:
        brought_by: The modules after whose import a thread or an open file was first
            seen, by what `reason_not_to_fork` calls it.
        costs: What each module has cost that was asked for, in this order.
    """

    brought_by: dict[str, str] = field(default_factory=dict)
    costs: list[PreloadedModule] = field(default_factory=list)


def preload(names: list[str], *, path: Sequence[str] = ()) -> Preloaded:
    """Import what runners need; a module that cannot be had is told, not fatal.

    Args:
        names: Modules to import beside our own.
        path: Folders to look for modules in, after all others.

    Returns:
        What they have brought and cost.
    """
    sys.path.insert(0, str(compat.path()))
    explain_missing_names()
    sys.path += path
    surroundings()  # read once, for all runners
    found = Preloaded(dict.fromkeys(_threads_and_files(), ""))
    for name in ALWAYS_PRELOADED:
        _import(name, found)
    for name in names:
        started, before = time.monotonic(), resident_bytes()
        if _import(name, found):
            seconds = round(time.monotonic() - started, 3)
            memory = max(0, resident_bytes() - before)
            cost = PreloadedModule(module=name, seconds=seconds, memory=memory)
            found.costs.append(cost)
    prepare_logging()
    warm_up_caches()
    return found


def _import(name: str, found: Preloaded) -> bool:
    """Import a module, and note what came with it; whether it could be had."""
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a module raises what it likes
        print(f"preload: {name} cannot be imported: {error!r}", file=sys.stderr)  # noqa: T201
        return False
    finally:
        for each in _threads_and_files():
            found.brought_by.setdefault(each, name)
    return True


def _threads_and_files() -> list[str]:
    """What an import may have brought, as `reason_not_to_fork` calls it."""
    main = threading.main_thread()
    return [
        *(repr(each.name) for each in threading.enumerate() if each is not main),
        *_native_threads(_PROC),
        *(name for _, name in _open_files(_PROC)),
    ]


def reason_not_to_fork(
    brought_by: Mapping[str, str] = MappingProxyType({}),
    *,
    threads: Sequence[threading.Thread] | None = None,
    proc: Path = _PROC,
    ours: Container[int] = (),
) -> str | None:
    """Why this process must not be forked: threads, connections, a GPU in use.

    A thread is not there in a fork, but the locks that it held are; a GPU's driver
    does not work in a fork of a process that has used it. Threads of libraries that
    expect a fork, such as OpenBLAS, end before it: a fork is tried to see which stay.
    A socket, a pipe or what waits for them is one thing for all forks: a job could
    speak, hear and wait in the place of later ones.

    Args:
        brought_by: What an import has brought; see `Preloaded`.
        threads: Python's threads; None looks for them.
        proc: This process as its system shows it; where nothing is shown, as on
            macOS, only Python's own threads are seen.
        ours: The descriptors of the fork server's own.

    Returns:
        The reason, None when it may be forked.
    """
    main = threading.main_thread()
    for thread in threading.enumerate() if threads is None else threads:
        if thread is not main:
            name = repr(thread.name)
            return f"{_import_of(name, brought_by)} started the thread {name}"
    if _native_threads(proc):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        if left := _native_threads(proc):
            import_ = _import_of(left[0], brought_by)
            return f"{import_} started a library's thread ({left[0]})"
    if _unfit_file(proc, ours, brought_by):
        gc.collect()  # it may be open only since nobody has collected it yet
    return _unfit_file(proc, ours, brought_by)


def _import_of(thing: str, brought_by: Mapping[str, str]) -> str:
    """What is to be blamed for a thread or an open file."""
    module = brought_by.get(thing)
    return f"the import of {module}" if module else "an import"


def _unfit_file(
    proc: Path, ours: Container[int], brought_by: Mapping[str, str]
) -> str | None:
    """Why an open file must not be in a fork; None if none is such a file."""
    for descriptor, name in _open_files(proc):
        import_ = _import_of(name, brought_by)
        if name.startswith("/dev/nvidia"):
            return f"{import_} opened the GPU ({name})"
        if name.startswith(_SHARED_WITH_FORKS) and descriptor not in ours:
            return f"{import_} opened what forks would share ({name})"
    return None


def _native_threads(proc: Path) -> list[str]:
    """The names of threads beside the main one that do not know how to be forked."""
    try:
        tasks = [
            task for task in (proc / "task").iterdir() if task.name != str(os.getpid())
        ]
        names = [(task / "comm").read_text().strip() for task in tasks]
    except OSError:
        return []
    return [name for name in names if name not in FORK_AWARE]


def _open_files(proc: Path) -> list[tuple[int, str]]:
    """The descriptors that no program is started with, and what they lead to."""
    try:
        links = list((proc / "fd").iterdir())
    except OSError:
        return []
    found = [(int(link.name), link) for link in links if link.is_symlink()]
    return [(fd, str(link.readlink())) for fd, link in found if fd > STANDARD]
