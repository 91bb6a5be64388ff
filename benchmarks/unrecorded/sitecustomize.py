"""Takes out of a worker what a job's manifest, receipt and signature cost.

Python imports this at its start where the folder is on ``PYTHONPATH``, as it is for the
worker that the scenario ``evidence`` compares the others with. No user can have that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance.manifest import TrackedRun
from dioptra_worker.supervision.record import chains, job_record, plan_facts
from dioptra_worker.supervision.record.digests import Digests
from dioptra_worker.tracking import upload_digests

if TYPE_CHECKING:
    from pathlib import Path


class _NoDigests:
    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def open(self, file: Path) -> Any:
        return file.open("rb")

    def sent(self, *_: Any) -> None:
        pass

    def files(self) -> list[Any]:
        return []

    def close(self) -> None:
        pass


def _nothing(*_: Any) -> None:
    pass


def _unread(*_: Any, **__: Any) -> Digests:
    return Digests([])


# A job without a run in MLflow has nothing that a manifest could be beside.
job_record.JobRecord.run = property(lambda _: TrackedRun())  # type: ignore[assignment]
chains.LogChain.add = _nothing  # type: ignore[method-assign, assignment]
chains.MetricChains.add = _nothing  # type: ignore[method-assign, assignment]
plan_facts.digests_of = _unread
upload_digests.UploadDigests = _NoDigests  # type: ignore[misc,assignment]
