"""What jobs wait to have imported: kept for each queue, while packages are the same.

Whoever owns a runner's socket says what it likes, so what is kept is bounded, and names
modules of installed packages only. The file lies where jobs that run as our user can
write: like an entry of the cache it has a keyed checksum (HMAC), which no job can make.
What a job changes there is as good as nothing kept.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.files.plain_file import open_plain, write_whole
from dioptra_worker.daemon.learning import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from dioptra_worker.protocol.messages import ModuleImported

log = logging.getLogger("dioptra_worker.imports")

FILE = "imports.json"
"""Its name in the work folder."""
MAX_MODULES = 100
"""Modules that are kept for a queue; those that jobs waited least for go first."""
MAX_QUEUES = 64
"""Queues that something is kept for; the one that had no job for longest goes first."""
MAX_BYTES = 1 << 20
MAX_REASON = 400
"""Characters of why a module is not imported beforehand."""
_OURS = {"dioptra", "dioptra_worker"}


@dataclass(frozen=True, kw_only=True)
class ImportCost:
    """How long jobs waited for the import of a module.

    Attributes:
        module: Its full name.
        jobs: How many jobs imported it themselves.
        seconds: How long they waited, all together.
    """

    module: str
    jobs: int
    seconds: float

    def plus(self, other: ImportCost) -> ImportCost:
        """The cost of the same module for these jobs and others."""
        jobs, seconds = self.jobs + other.jobs, self.seconds + other.seconds
        return ImportCost(module=self.module, jobs=jobs, seconds=seconds)

    @property
    def mean(self) -> float:
        """Seconds that one of them waited."""
        return self.seconds / self.jobs


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What is kept of the imports of jobs.

    Attributes:
        queues: The costs of each queue's jobs, by module.
        excluded: Why a module is not imported beforehand, by its name.
        memory: How many bytes those were allowed to take.
    """

    queues: dict[str, dict[str, ImportCost]] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    memory: int = 0

    def of(self, queues: Collection[str]) -> list[ImportCost]:
        """The costs of some queues' jobs, all together, the greatest first.

        Args:
            queues: Those; none are all.
        """
        found: dict[str, ImportCost] = {}
        for queue, costs in self.queues.items():
            if queue in queues or not queues:
                for module, cost in costs.items():
                    known = found.get(module)
                    found[module] = cost if known is None else known.plus(cost)
        return _greatest(found)


class ImportCosts:
    """What jobs of one worker wait to have imported; safe from any thread."""

    def __init__(
        self,
        folder: Path,
        *,
        key: bytes,
        memory: int = 0,
        tell: Callable[[str, float], object] = lambda *_: None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            folder: The work folder.
            key: A secret of the worker's, which makes checksums that no job can make.
            memory: Bytes that imports may take; what was excluded while that was less
                is tried again.
            tell: Is told of each import of a job that is believed, in seconds.
        """
        self._file = folder / FILE
        self._key = key
        self._memory = memory
        self._tell = tell
        self._lock = threading.Lock()

    def kept(self) -> Learned:
        """What is kept now."""
        with self._lock:
            return self._read()

    def exclude(self, module: str, reason: str) -> None:
        """Keep why a module is not to be imported beforehand.

        Args:
            module: Its full name.
            reason: As the rest of a sentence that begins with its import.
        """
        with self._lock:
            kept = self._read()
            kept.excluded.pop(module, None)
            kept.excluded[module] = reason[:MAX_REASON]
            self._write(kept)

    def learn(self, queue: str, imports: Iterable[ModuleImported]) -> None:
        """Keep what a job waited for, as far as it can be believed.

        Of two workers that keep something at the same time one is the later, and what
        the other has learned of one job is lost.

        Args:
            queue: The job's.
            imports: What its runner said.
        """
        with self._lock:
            seconds = _believed(imports)
            for module, taken in seconds.items():
                self._tell(module, taken)
            if not seconds:
                return
            kept = self._read()
            queues = kept.queues
            costs = dict(queues.pop(queue, {}))
            for module, taken in seconds.items():
                known = costs.get(module, ImportCost(module=module, jobs=0, seconds=0))
                costs[module] = ImportCost(
                    module=module, jobs=known.jobs + 1, seconds=known.seconds + taken
                )
            queues[queue] = costs
            self._write(kept)

    def _read(self) -> Learned:
        kept = _read(self._file, self._key)
        return replace(kept, excluded={}) if kept.memory < self._memory else kept

    def _write(self, kept: Learned) -> None:
        try:
            _write(self._file, self._key, replace(kept, memory=self._memory))
        except OSError as error:  # no job's fault, and none the worse for it
            log.warning("%s cannot be written: %s", self._file, error)


def learned(folder: Path, *, key: bytes) -> Learned:
    """What workers have learned here of their jobs, with the packages of today.

    Args:
        folder: The work folder.
        key: What its checksum is made with.

    Returns:
        That; nothing where nothing is kept, or what is there cannot be believed.
    """
    return _read(folder / FILE, key)


def _believed(imports: Iterable[ModuleImported]) -> dict[str, float]:
    return {
        each.module: each.seconds
        for each in imports
        if each.module.partition(".")[0] not in _OURS
        and installed.is_installed(each.module)
    }


def _read(file: Path, key: bytes) -> Learned:
    """What is kept; nothing if it is damaged, or of other packages."""
    checksum, _, text = _content(file).partition(b"\n")
    if not hmac.compare_digest(checksum, _checksum(key, text)):
        return Learned()
    kept: dict[str, Any] = json.loads(text)
    if kept["environment"] != installed.environment():
        return Learned()
    queues = {
        queue: {
            module: ImportCost(module=module, jobs=jobs, seconds=seconds)
            for module, (jobs, seconds) in costs.items()
        }
        for queue, costs in kept["queues"].items()
    }
    return Learned(
        queues=queues,
        excluded=kept.get("excluded", {}),
        memory=kept.get("memory", 0),
    )


def _content(file: Path) -> bytes:
    """A file's content; nothing for what is no file, or too large for one of ours."""
    with contextlib.suppress(OSError):
        if (reader := open_plain(file)) is not None:
            with reader:
                content = reader.read(MAX_BYTES + 1)
            return content if len(content) <= MAX_BYTES else b""
    return b""


def _write(file: Path, key: bytes, kept: Learned) -> None:
    body = {
        "environment": installed.environment(),
        "queues": {
            queue: {cost.module: [cost.jobs, cost.seconds] for cost in _greatest(costs)}
            for queue, costs in list(kept.queues.items())[-MAX_QUEUES:]
        },
        "excluded": dict(list(kept.excluded.items())[-MAX_MODULES:]),
        "memory": kept.memory,
    }
    text = json.dumps(body, separators=(",", ":")).encode()
    write_whole(file, _checksum(key, text) + b"\n" + text)


def _greatest(costs: Mapping[str, ImportCost]) -> list[ImportCost]:
    found = sorted(costs.values(), key=lambda cost: cost.seconds, reverse=True)
    return found[:MAX_MODULES]


def _checksum(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, "sha256").hexdigest().encode()
