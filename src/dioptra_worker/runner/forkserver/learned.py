"""A second fork server, which has imported of its own accord what jobs wait for.

It is a fork of the first one, and serves only if nothing is wrong with it: what an
import has done to it would be done to each job that it is forked for. If anything is,
it says what, and ends: jobs have the first one, as before.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from dioptra_worker.common.garbage import uncollected
from dioptra_worker.common.processes.memory import private_bytes
from dioptra_worker.common.processes.orphans import adopt_orphans, has_children
from dioptra_worker.common.text.humanize import size
from dioptra_worker.protocol import codec
from dioptra_worker.protocol.forkserver import (
    ImportBegun,
    LearningRefused,
    PreloadedModule,
)
from dioptra_worker.protocol.preload_rules import NOT_LEARNED
from dioptra_worker.provenance.surroundings import packages
from dioptra_worker.runner.forkserver.children.process_makers import ForkingMaker
from dioptra_worker.runner.forkserver.children.randomness import reseed, shared
from dioptra_worker.runner.forkserver.descriptors import open_descriptors
from dioptra_worker.runner.forkserver.home import home_of_its_own
from dioptra_worker.runner.forkserver.preload import reason_not_to_fork
from dioptra_worker.runner.forkserver.remembered import Memory, NotMovable
from dioptra_worker.runner.forkserver.server import Forkserver
from dioptra_worker.runner.learned import modules as learned_modules
from dioptra_worker.runner.learned.modules import LearnedModules, ModulesReplaced
from dioptra_worker.runner.learned.process_state import StateChanged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.protocol.forkserver import StartLearned
    from dioptra_worker.runner.learned.group import Group

MAX_SAID = 1 << 16
"""Bytes that an import may print."""
_SPARE_PER_PROCESSOR = 64 << 20
_PROC = Path("/proc/self")


class Refused(Exception):
    """This process is not fit to be forked for jobs.

    Attributes:
        module: The module whose import is to blame; empty for none.
        reason: Why.
    """

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(reason)
        self.module = module
        self.reason = reason


def start(
    descriptor: int,
    request: StartLearned,
    *,
    grace: float,
    preloaded: tuple[PreloadedModule, ...] = (),
    has_own_user: bool = False,
) -> NoReturn:
    """Become the second fork server, in a fork of the first.

    Args:
        descriptor: The socket to the daemon.
        request: What to import.
        grace: Seconds that runners have to end when the daemon is gone.
        preloaded: What the first one has imported.
        has_own_user: Whether all that our user has is ours and our runners'.
    """
    # It ends with the daemon, as the first one does; a runner has handlers of its own.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    adopt_orphans()
    with socket.socket(fileno=descriptor) as sock, home_of_its_own() as held:
        try:
            with uncollected():
                learned, costs = learn(request, sock, ours={sock.fileno(), held or -1})
        except Refused as refused:
            report = LearningRefused(module=refused.module, reason=refused.reason)
            with contextlib.suppress(OSError):
                sock.sendall(codec.encode(report))
        else:
            learned_modules.keep(learned)
            files = FilesOfModules(learned)
            Forkserver(
                sock,
                ForkingMaker(open_descriptors() - {sock.fileno(), held}),
                grace=grace,
                preloaded=(*preloaded, *costs),
                top_levels=tuple(learned.top_levels()),
                has_own_user=has_own_user,
                spoilt_by=files.changed,
            ).serve()
    os._exit(0)


def learn(
    request: StartLearned, sock: socket.socket, *, ours: set[int]
) -> tuple[LearnedModules, list[PreloadedModule]]:
    """Import what was asked for, and look at what became of this process.

    Args:
        request: That.
        sock: Is told of each import when it begins.
        ours: The descriptors of our own.

    Returns:
        What was imported, kept aside, and its cost.

    Raises:
        Refused: This process is not to be forked for jobs.
    """
    os.environ.update(request.environment)
    if os.environ["HOME"] == "/":
        raise Refused("", "there is no room for a folder of its own")
    known = packages()
    if packages.__wrapped__() != known:  # what the first one has imported may be gone
        raise Refused("", "packages were installed or removed since the worker began")
    learned = LearnedModules(reseed=reseed)
    if not learned.install():
        raise Refused("", "this version of Python does not let it")
    trial = _Trial(learned, ours=ours, memory=request.memory)
    costs = []
    with _limited_memory(request.memory):
        for name in request.modules:
            sock.sendall(codec.encode(ImportBegun(module=name)))
            costs.append(trial.learn(name))
        with learned.all_given():
            if why := shared(request.modules):
                raise Refused(request.modules[-1], why)
    return learned, costs


class _Trial:
    """Imports of this process, each looked at."""

    def __init__(self, learned: LearnedModules, *, ours: set[int], memory: int) -> None:
        self._learned = learned
        self._ours = ours
        self._memory = memory
        self._at_first = private_bytes()
        self._folders = Memory()

    def learn(self, name: str) -> PreloadedModule:
        """Import a module; what that cost, nothing if another has brought it.

        Raises:
            Refused: It is to blame for something.
        """
        if self._learned.has(name):
            return PreloadedModule(module=name, seconds=0.0)
        pid, before = os.getpid(), private_bytes()
        descriptors, mappings = open_descriptors(), _shared_mappings()
        try:
            with self._folders.in_folders(), _saying_kept() as said:
                seen = self._learned.learn(name, stops=self._folders.note_files)
        except StateChanged as error:
            raise Refused(name, f"changed {error}") from None
        except ModulesReplaced as error:
            raise Refused(name, f"put another module in the place of {error}") from None
        except BaseException as error:  # noqa: BLE001 - a module raises what it likes
            raise Refused(name, f"failed: {error!r:.300}") from None
        finally:
            if os.getpid() != pid:  # it has forked, and the child came here
                os._exit(0)
        if len(said.out) + len(said.err) > MAX_SAID:
            raise Refused(name, "printed more than anybody reads")
        seen.share(said.out, said.err)
        gc.collect()  # what nobody holds may be there, or open, still
        self._look_at_modules(name, seen.groups)
        self._look_at_process(name, descriptors, mappings)
        memory = max(0, private_bytes() - before)
        grown = private_bytes() - self._at_first
        if grown > self._memory:
            words = f"took {size(memory)}: all together may take {size(self._memory)}"
            raise Refused(name, words)
        return PreloadedModule(
            module=name, seconds=seen.asked_for.seconds, memory=memory
        )

    def _look_at_modules(self, name: str, groups: list[Group]) -> None:
        installed = _folders_of_packages()
        for module in (module for group in groups for module in group.modules):
            top = module.partition(".")[0]
            if why := NOT_LEARNED.get(top):
                words = "" if module == name else f"imported {top}, and "
                raise Refused(name, f"is not made beforehand: {words}{why}")
        for module, file in self._learned.files(groups).items():
            if not any(Path(file).is_relative_to(folder) for folder in installed):
                words = f"imported {module}, which is no installed package's ({file})"
                raise Refused(name, words)
        try:
            self._folders.note_texts(groups)
        except NotMovable as error:
            words = f"remembers the home that it was made in ({error})"
            raise Refused(name, words) from None

    def _look_at_process(
        self, name: str, descriptors: set[int], mappings: set[str]
    ) -> None:
        if why := reason_not_to_fork(ours=self._ours):
            raise Refused(name, why.replace("an import ", "", 1))
        for descriptor in open_descriptors() - descriptors:
            with contextlib.suppress(OSError):
                target = str(Path(f"/proc/self/fd/{descriptor}").readlink())
                raise Refused(name, f"left {target} open")
        if more := _shared_mappings() - mappings:
            words = f"made memory that all forks would share ({min(more)})"
            raise Refused(name, words)
        if has_children():
            raise Refused(name, "left a process behind")


class FilesOfModules:
    """The files of what was imported, as they were then."""

    def __init__(self, learned: LearnedModules) -> None:
        """Note how they are."""
        self._files = {path: _stamp(path) for path in learned.files().values()}

    def changed(self) -> str | None:
        """The first one that is not as it was; a job would find another there."""
        for path, stamp in self._files.items():
            if _stamp(path) != stamp:
                return path
        return None


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands, for each job
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _folders_of_packages() -> list[Path]:
    """Where Python's library and installed packages lie."""
    names = {"site-packages", "dist-packages", "lib-dynload"}
    entries = [Path(entry) for entry in sys.path]
    return [
        Path(os.__file__).parent,
        *(entry for entry in entries if entry.name in names),
    ]


@dataclass
class _Said:
    """What was written to standard output and error, once that is over."""

    out: bytes = b""
    err: bytes = b""


@contextlib.contextmanager
def _saying_kept() -> Iterator[_Said]:
    """Keep what is written to standard output and error, however that is done."""
    said = _Said()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = [os.dup(number) for number in (1, 2)]
        try:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            yield said
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for number, descriptor in enumerate(kept, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            said.out, said.err = _content(out), _content(err)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(MAX_SAID + 1)


@contextlib.contextmanager
def _limited_memory(memory: int) -> Iterator[None]:
    """Let this process get no memory without end, far above what it may keep.

    What an import reserves and does not use counts here.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    spare = _SPARE_PER_PROCESSOR * (os.cpu_count() or 1)
    limit = _data_bytes() + 4 * memory + spare
    known = [each for each in (soft, hard) if each != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    pages = int((_PROC / "statm").read_text().split()[5])
    return pages * resource.getpagesize()


def _shared_mappings() -> set[str]:
    """What of this process' memory forks would share and change: semaphores, say."""
    found = set()
    for line in (_PROC / "maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if fields[1].startswith("rw-s"):
            found.add(fields[5] if len(fields) > 5 else "without a name")
    return found
