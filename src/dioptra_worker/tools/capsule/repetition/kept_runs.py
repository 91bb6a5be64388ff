"""What came of a capsule's runs, kept beside them: who is interrupted goes on later."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.provenance.chain import canonical
from dioptra_worker.provenance.surroundings import packages
from dioptra_worker.runner.facts import VARIABLES
from dioptra_worker.tools.capsule.comparison.comparing import Evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dioptra_worker.tools.capsule.replay.replaying import Replayed


@dataclass(frozen=True, kw_only=True)
class KeptRun:
    """One run.

    Attributes:
        fixed: What was fixed in it that is open otherwise; empty for nothing.
        reason: Why it failed; empty if it finished.
        metrics: The value at each step of each metric.
        outputs: The SHA-256 of each file of an output artifact, by its path.
    """

    fixed: str
    reason: str
    metrics: Mapping[str, Mapping[int, float]]
    outputs: Mapping[str, str]

    @classmethod
    def of(cls, replayed: Replayed, fixed: str) -> Self:
        """What is kept of a replay."""
        result, found = replayed.result, replayed.evaluation
        return cls(
            fixed=fixed,
            reason="" if result.finished else result.reason or "no reason is known",
            metrics=found.metrics,
            outputs=found.outputs,
        )

    @property
    def evaluation(self) -> Evaluation:
        """The same, to be compared."""
        return Evaluation(
            made_of={},
            metrics=self.metrics,
            outputs=self.outputs,
            content=lambda _: None,
        )


class KeptRuns:
    """The file of runs of one capsule, with one Python, its packages and variables.

    Each run is a line, which is added when the run has ended. Of a line that was cut
    off, as where the system has died, nothing is believed: that run is made again.
    """

    def __init__(
        self, store: Path, *, capsule: str, environment: Mapping[str, str]
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            store: The folder in which runs are kept.
            capsule: The digest of the capsule's manifest.
            environment: That of the runs.
        """
        ruling = {name: environment.get(name, "") for name in VARIABLES}
        key = canonical([capsule, platform.python_version(), *packages(), ruling])
        name = f"repeat-{hashlib.sha256(key).hexdigest()[:16]}.jsonl"
        self._file = store / name

    def read(self, fixed: str) -> list[KeptRun]:
        """The runs in which something was fixed, or nothing, in order."""
        try:
            text = self._file.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        runs = [run for line in text.splitlines() if (run := _run(line)) is not None]
        return [run for run in runs if run.fixed == fixed]

    def add(self, run: KeptRun) -> None:
        """Keep a run."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # The newline comes first: a line that was cut off spoils no other one.
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(asdict(run))}\n")

    def forget(self) -> None:
        """Begin anew; the runs themselves stay."""
        self._file.unlink(missing_ok=True)


def _run(line: str) -> KeptRun | None:
    """The run in a line; None if it holds none, or half of one."""
    try:
        body: dict[str, Any] = json.loads(line)
        return KeptRun(
            fixed=str(body["fixed"]),
            reason=str(body["reason"]),
            metrics={
                str(name): {int(step): float(value) for step, value in steps.items()}
                for name, steps in body["metrics"].items()
            },
            outputs={str(path): str(sha) for path, sha in body["outputs"].items()},
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
