"""What came of jobs of a platform that repeat another one, to be compared."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.provenance.manifest import read_manifest
from dioptra_worker.tools.capsule.comparison.comparing import (
    Evaluation,
    evaluation,
    series,
)
from dioptra_worker.tools.capsule.errors import CapsuleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.provenance.manifest import Manifest
    from dioptra_worker.tools.capsule.job_source import JobSource

MANIFEST_TIMEOUT = 30.0
"""Seconds that a worker has to store the manifests of jobs that have ended."""
_POLL_INTERVAL = 0.5


@dataclass(frozen=True, kw_only=True)
class JobResults:
    """What came of a job.

    Attributes:
        manifest: Its manifest; None if it has none, as of the platform's own worker.
        evaluation: What came of it; without a manifest it tells of metrics alone.
    """

    manifest: Manifest | None
    evaluation: Evaluation


def results(
    source: JobSource,
    *,
    until: float,
    sleep: Callable[[float], object] = time.sleep,
) -> JobResults:
    """What came of a job that has finished; its manifest is stored soon after its end.

    Args:
        source: The job.
        until: Until when a manifest is waited for that is not there, by the monotonic
            clock; it is looked for at least once.
        sleep: Waits between two looks.

    Raises:
        BadManifest: Its manifest cannot be read.
        ServiceError: A service refused, or cannot be asked.
    """
    while True:
        try:
            manifest = read_manifest(source.manifest())
        except CapsuleError:
            if time.monotonic() >= until:
                break
            sleep(_POLL_INTERVAL)
        else:
            found = evaluation(manifest, source.metrics())
            return JobResults(manifest=manifest, evaluation=found)
    metrics_alone = Evaluation(
        made_of={},
        metrics=series(source.metrics()),
        outputs={},
        content=lambda _: None,
    )
    return JobResults(manifest=None, evaluation=metrics_alone)
