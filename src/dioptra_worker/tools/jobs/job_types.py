"""What type a job is of: a training, a processing, or something internal.

Dioptra has no such field. A tag of that name says so, on the job itself or on its
entrypoint; without one a job is a processing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.api.user_client import Resources
    from dioptra_worker.tools.jobs.job_row import JobRow

KINDS = ("training", "processing", "internal")
DEFAULT = "processing"


@dataclass(frozen=True)
class Kinds:
    """Which entrypoints are tagged.

    Attributes:
        by_entrypoint: The type by the entrypoint's id.
    """

    by_entrypoint: Mapping[int, str]

    def of(self, job: JobRow) -> str:
        """The type of a job; its own tag goes before its entrypoint's."""
        for kind in KINDS:
            if kind in job.tags:
                return kind
        return self.by_entrypoint.get(job.entrypoint_id, DEFAULT)


def read_kinds(resources: Resources) -> Kinds:
    """Ask the API which entrypoints are tagged: one request, and one for each tag."""
    return Kinds(
        {
            entrypoint: name
            for name, tag in resources.tags().items()
            if name in KINDS
            for entrypoint in resources.tagged_entrypoints(tag)
        }
    )
