"""What the launcher asks of a fork server, and what that reports.

One line of JSON each (`dioptra_worker.protocol.codec`). A request for a process comes
with its descriptors; `ProcessStarted` or `ProcessRefused` answer them in order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping  # noqa: TC003 - the codec reads the annotations
from typing import ClassVar


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartRunner:
    """A runner is wanted; comes with its socket, its standard output and error.

    Attributes:
        environment: What it sees beside the fork server's environment.
        seed: What its random generators are to be seeded with, those of libraries that
            it imports later, too; None is a fresh seed, for what is loaded.
    """

    descriptors: ClassVar = 3
    environment: Mapping[str, str]
    seed: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartCloseRun:
    """A process is wanted that closes what a dead runner has left open in MLflow.

    Attributes:
        status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        run_id: The run; empty when nobody knows whether there is one.
        token: Then, that of the start it would belong to.
    """

    descriptors: ClassVar = 0
    status: str
    run_id: str = ""
    token: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartDownload:
    """A process is wanted that fetches an artifact; comes with a pipe to report to.

    Attributes:
        uri: Where the artifact is.
        target: The file or folder to make of it.
        is_dir: Whether it is a folder.
    """

    descriptors: ClassVar = 1
    uri: str
    target: str
    is_dir: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartRecord:
    """A process is wanted that stores a job's manifest and says what has arrived.

    It comes with a descriptor of the manifest's file, and a pipe to report to.

    Attributes:
        lost_lines: How many lines of the job's log the API does not have; -1 if that is
            not known.
        points: How many points of each metric the API has; None if not known.
    """

    descriptors: ClassVar = 2
    lost_lines: int = -1
    points: Mapping[str, int] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartLearned:
    """A second fork server is wanted, which has imported what jobs wait for.

    Comes with its socket: there it says what it imports, and then serves as any.

    Attributes:
        modules: What it is to import, in this order.
        memory: By how many bytes it may grow by that.
        environment: What its runners see beside the fork server's environment.
    """

    descriptors: ClassVar = 1
    modules: tuple[str, ...]
    memory: int
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignalProcess:
    """A process, and its group, is to get a signal; one that has ended is no error."""

    pid: int
    signal: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreloadedModule:
    """What a module has cost that a fork server imported for its runners.

    Attributes:
        module: Its full name.
        seconds: How long its import took, with what it imported that was not there.
        memory: By how many bytes the fork server grew, where that can be seen.
    """

    module: str
    seconds: float
    memory: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForkserverReady:
    """Everything is imported.

    Attributes:
        pid: The fork server's process.
        mode: How runners are made, ``fork`` or ``spawn``.
        why: Why they are not forked although they should be.
        preloaded: What it has imported for them beside our own, in this order.
        top_levels: The first parts of the names of all modules that it keeps for jobs
            that ask for one of them; nothing for a fork server that was told what to
            import.
    """

    pid: int
    mode: str
    why: str | None
    preloaded: tuple[PreloadedModule, ...] = ()
    top_levels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportBegun:
    """A second fork server begins to import a module."""

    module: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningRefused:
    """A second fork server ends, since it is not fit to be forked.

    Attributes:
        module: The module that is to blame; empty where it is none.
        reason: Why, as the rest of a sentence that begins with its import.
    """

    module: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessStarted:
    """The process that was asked for."""

    pid: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessRefused:
    """No process could be made, and why."""

    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessEnded:
    """A process has ended.

    Attributes:
        pid: Which.
        status: As ``waitpid`` gives it.
        peak: Its peak resident memory in bytes.
        removed: What it left in the system's shared memory, by name.
    """

    pid: int
    status: int
    peak: int
    removed: tuple[str, ...] = ()


ProcessRequest = (
    StartRunner | StartCloseRun | StartDownload | StartRecord | StartLearned
)
ForkserverRequest = ProcessRequest | SignalProcess
ForkserverReport = (
    ForkserverReady
    | ProcessStarted
    | ProcessRefused
    | ProcessEnded
    | ImportBegun
    | LearningRefused
)
