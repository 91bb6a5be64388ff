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
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.background import in_background
from dioptra_worker.common.files.plain_file import open_plain, write_whole
from dioptra_worker.daemon.learning import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
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

    @property
    def mean(self) -> float:
        """Seconds that one of them waited."""
        return self.seconds / self.jobs


class ImportCosts:
    """What jobs of one worker wait to have imported; safe from any thread."""

    def __init__(
        self,
        folder: Path,
        *,
        key: bytes,
        tell: Callable[[str, float], object] = lambda *_: None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            folder: The work folder.
            key: A secret of the worker's, which makes checksums that no job can make.
            tell: Is told of each import of a job that is believed, in seconds.
        """
        self._file = folder / FILE
        self._key = key
        self._tell = tell
        self._lock = threading.Lock()

    def learn_soon(self, queue: str, imports: Iterable[ModuleImported]) -> None:
        """Keep what a job waited for, in a thread: the disk may take its time.

        Args:
            queue: The job's.
            imports: What its runner said.
        """
        given = list(imports)
        if given:
            in_background(partial(self.learn, queue, given), "dioptra-imports")

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
            queues = _read(self._file, self._key)
            costs = dict(queues.pop(queue, {}))
            for module, taken in seconds.items():
                known = costs.get(module, ImportCost(module=module, jobs=0, seconds=0))
                costs[module] = ImportCost(
                    module=module, jobs=known.jobs + 1, seconds=known.seconds + taken
                )
            queues[queue] = costs
            try:
                _write(self._file, self._key, queues)
            except OSError as error:  # no job's fault, and none the worse for it
                log.warning("%s cannot be written: %s", self._file, error)


def learned(folder: Path, *, key: bytes) -> dict[str, list[ImportCost]]:
    """What workers have learned here of their jobs, with the packages of today.

    Args:
        folder: The work folder.
        key: What its checksum is made with.

    Returns:
        The costs of each queue's jobs, the greatest first; nothing where nothing is
        kept, or what is there cannot be believed.
    """
    kept = _read(folder / FILE, key)
    return {queue: _greatest(costs) for queue, costs in kept.items()}


def _believed(imports: Iterable[ModuleImported]) -> dict[str, float]:
    return {
        each.module: each.seconds
        for each in imports
        if each.module.partition(".")[0] not in _OURS
        and installed.is_installed(each.module)
    }


_Queues = dict[str, dict[str, ImportCost]]


def _read(file: Path, key: bytes) -> _Queues:
    """What is kept; nothing if it is damaged, or of other packages."""
    checksum, _, text = _content(file).partition(b"\n")
    if not hmac.compare_digest(checksum, _checksum(key, text)):
        return {}
    kept: dict[str, Any] = json.loads(text)
    if kept["environment"] != installed.environment():
        return {}
    return {
        queue: {
            module: ImportCost(module=module, jobs=jobs, seconds=seconds)
            for module, (jobs, seconds) in costs.items()
        }
        for queue, costs in kept["queues"].items()
    }


def _content(file: Path) -> bytes:
    """A file's content; nothing for what is no file, or too large for one of ours."""
    with contextlib.suppress(OSError):
        if (reader := open_plain(file)) is not None:
            with reader:
                content = reader.read(MAX_BYTES + 1)
            return content if len(content) <= MAX_BYTES else b""
    return b""


def _write(file: Path, key: bytes, queues: _Queues) -> None:
    body = {
        "environment": installed.environment(),
        "queues": {
            queue: {cost.module: [cost.jobs, cost.seconds] for cost in _greatest(costs)}
            for queue, costs in list(queues.items())[-MAX_QUEUES:]
        },
    }
    text = json.dumps(body, separators=(",", ":")).encode()
    write_whole(file, _checksum(key, text) + b"\n" + text)


def _greatest(costs: Mapping[str, ImportCost]) -> list[ImportCost]:
    found = sorted(costs.values(), key=lambda cost: cost.seconds, reverse=True)
    return found[:MAX_MODULES]


def _checksum(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, "sha256").hexdigest().encode()
