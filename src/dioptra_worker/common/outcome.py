"""How a job ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dioptra_worker.protocol.run_rules import RunStatus

Fate = Literal[
    "finished", "failed", "stopped", "given back", "left", "parked", "dropped"
]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        fate: What becomes of the job: ``stopped`` is failed by request, ``given back``
            goes to the queue again, ``left`` could not be and is for another worker's
            recovery to find, ``parked`` could not be since the API fails at this job
            alone, and waits, ``dropped`` is nobody's any more.
        reason: Why, in words; empty when it finished.
        mlflow: The final status of its MLflow run.
    """

    fate: Fate
    reason: str
    mlflow: RunStatus
